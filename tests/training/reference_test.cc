// Fine references, coefficients fitted to them, and where feedback steps are to land.
#include "engine/training/reference.h"

#include <filesystem>

#include <torch/types.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/sampling/solver.h"
#include "engine/training/landing.h"
#include "engine/training/noise_seeds.h"
#include "engine/training/plan_fit.h"
#include "engine/training/plan_references.h"
#include "engine/training/plan_search.h"
#include "tests/testing/temp_path.h"
#include "tests/training/small_model.h"

namespace ilf {
namespace {

class ReferenceTest : public ::testing::Test {
 protected:
  ReferenceTest() { std::filesystem::remove(file_); }
  ~ReferenceTest() override { std::filesystem::remove(file_); }

  Reference Solve(const std::vector<double>& timesteps, ReferenceOptions options = {.images = 12}) {
    options.min_steps = 40;
    return SolveReference(denoiser_, schedule_, timesteps, options, file_, "key", stop_).value();
  }

  at::NoGradGuard no_grad_;
  const std::string file_ = TestPath("safetensors");
  const std::atomic<bool> stop_{false};
  const Transformer model_ = SmallDit();
  const Denoiser denoiser_ = {&model_};
  const NoiseSchedule schedule_ =
      NoiseSchedule::Create(DefaultConfigOf(SolverKind::kDpmSolverPp2m)).value();
};

TEST_F(ReferenceTest, BeginsAtTheNoiseThatARequestWouldDraw) {
  const Reference reference = Solve({999, 500}, {.images = 3, .first_seed = 7});
  EXPECT_TRUE(at::equal(reference.noise().narrow(0, 1, 1), NoiseOf(model_.config(), 8, 1)));
  EXPECT_EQ(reference.states.sizes(), (std::vector<int64_t>{3, 3, 4, 4, 4}));
}

TEST_F(ReferenceTest, EveryPurposeHasNoisesOfItsOwn) {
  std::vector<at::Tensor> noises = {NoiseOf(model_.config(), /*first_seed=*/0, 1)};
  for (const uint64_t seed :
       {kFirstPlanSearchSeed, kFirstFeedbackTrainingSeed, kFirstFeedbackValidationSeed,
        kFirstReferenceSeed, kFirstJudgedSeed}) {
    noises.push_back(NoiseOf(model_.config(), seed, 1));
    for (size_t i = 0; i + 1 < noises.size(); ++i) EXPECT_GT(Rmse(noises[i], noises.back()), 0.1);
  }
}

TEST_F(ReferenceTest, ClassesTakeTurnsAndGuidanceScalesAfterThem) {
  const Reference reference = Solve({999}, {.images = 7, .guidance_scales = {1.0, 3.0}});
  std::vector<int64_t> classes;
  for (const Subject& subject : reference.subjects) classes.push_back(subject.class_index);
  EXPECT_EQ(classes, (std::vector<int64_t>{0, 1, 2, 0, 1, 2, 0}));
  EXPECT_EQ(reference.guidance_scales, (std::vector<double>{1, 1, 1, 3, 3, 3, 1}));
}

TEST_F(ReferenceTest, IsReadBackFromItsFile) {
  const Reference first = Solve({999, 500});
  const std::atomic<bool> stop{true};  // a solve would be cancelled
  const auto second = SolveReference(denoiser_, schedule_, {999, 500},
                                     {.images = 12, .min_steps = 40}, file_, "key", stop);
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_TRUE(at::equal(second->states, first.states));
  EXPECT_TRUE(absl::IsCancelled(SolveReference(denoiser_, schedule_, {999, 500},
                                               {.images = 12, .min_steps = 40}, file_,
                                               "another backbone", stop)
                                    .status()));
}

TEST_F(ReferenceTest, ALargerOneBeginsWithASmallerOne) {
  const Reference small = Solve({999, 500}, {.images = 5});
  const Reference large = Solve({999, 500}, {.images = 9});
  EXPECT_EQ(large.states.size(1), 9);
  EXPECT_TRUE(at::equal(large.Images(0, 5).states, small.states));
  std::filesystem::remove(file_);
  EXPECT_LT(Rmse(Solve({999, 500}, {.images = 9}).states, large.states), 1e-5);
}

TEST_F(ReferenceTest, PartsAreThoseOfTheWhole) {
  const Reference whole = Solve({999, 700, 300});
  const Reference part = whole.At({0, 2}).Images(4, 3);
  EXPECT_EQ(part.timesteps, (std::vector<double>{999, 300}));
  EXPECT_TRUE(at::equal(part.states[1], whole.states[2].narrow(0, 4, 3)));
  EXPECT_TRUE(at::equal(part.final_latents(), whole.final_latents().narrow(0, 4, 3)));
  EXPECT_TRUE(at::equal(whole.Select({5, 0}).noise()[1], whole.noise()[0]));
}

TEST_F(ReferenceTest, FineEnoughPlainStepsApproachIt) {
  const Reference reference = Solve({999});
  const auto error = [&](int steps) {
    const at::Tensor x =
        RunPlan(denoiser_, schedule_.With(Spacing::kLogSnr), {.steps = steps}, reference, {})
            .value();
    return Rmse(x, reference.final_latents());
  };
  EXPECT_LT(error(40), 0.2 * error(6));
}

// Least squares: nothing multiplies x and x0 to a closer landing.
TEST_F(ReferenceTest, FittedCoefficientsLandClosestInOneStep) {
  const Reference reference = Solve({999});
  FeedbackPlan plan = {.steps = 1, .timesteps = {999}};
  const FittedPlan fitted = FitCoefficients(denoiser_, schedule_, plan, reference, {}).value();
  const auto error = [&](const FeedbackPlan& candidate) {
    return Rmse(RunPlan(denoiser_, schedule_, candidate, reference, {}).value(),
                reference.final_latents());
  };
  EXPECT_NEAR(error(fitted.plan), fitted.rmse, 1e-5);
  EXPECT_LT(fitted.rmse, error(plan));
  for (const double nudge : {-0.01, 0.01}) {
    FeedbackPlan other = fitted.plan;
    other.coefficients[0].a += nudge;
    EXPECT_GT(error(other), fitted.rmse);
    other = fitted.plan;
    other.coefficients[0].b += nudge;
    EXPECT_GT(error(other), fitted.rmse);
  }
}

TEST_F(ReferenceTest, ASearchEndsNoWorseThanItsCandidatesAndKeepsTheFirstTimestep) {
  const Reference reference = Solve(DenseTimesteps(schedule_, 24));
  const FittedPlan found =
      SearchTimesteps(denoiser_, schedule_, {.steps = 3}, reference, {}, stop_).value();
  EXPECT_EQ(found.plan.timesteps.front(), reference.timesteps.front());
  const Reference even = reference.At({0, 8, 16});
  const FittedPlan other =
      FitCoefficients(denoiser_, schedule_, {.steps = 3, .timesteps = even.timesteps}, even, {})
          .value();
  EXPECT_LE(found.rmse, other.rmse);
}

TEST_F(ReferenceTest, ASearchForAsManyStepsAsLevelsVisitsThemAll) {
  const std::vector<double> levels = DenseTimesteps(schedule_, 6);
  const Reference reference = Solve(levels);
  const auto found = [&](int steps) {
    return SearchTimesteps(denoiser_, schedule_, {.steps = steps}, reference, {}, stop_);
  };
  EXPECT_EQ(found(6)->plan.timesteps, levels);
  EXPECT_THAT(std::string(found(7).status().message()),
              testing::HasSubstr("steps must be 1 to the 6 levels"));
}

// A plan that starts later starts from noise too, not from the other's state there.
TEST_F(ReferenceTest, PlansThatStartElsewhereHaveReferencesOfTheirOwn) {
  const std::string prefix = TestPath("plans");
  std::vector<CalibratedPlan> plans(2);
  plans[0].plan.timesteps = {999, 900, 500};
  plans[1].plan.timesteps = {900, 400};
  const std::vector<Reference> references =
      SolvePlanReferences(
          denoiser_, schedule_, plans,
          {.images = 3, .min_steps = 10, .keep_starts = true, .file_prefix = prefix, .key = ""},
          stop_)
          .value();
  ASSERT_EQ(references.size(), 2u);
  for (size_t i = 0; i < plans.size(); ++i) {
    EXPECT_EQ(references[i].timesteps, plans[i].plan.timesteps);
    EXPECT_TRUE(at::equal(references[i].noise(), NoiseOf(model_.config(), 0, 3)));
  }
  for (const char* start : {"999", "900"}) {
    EXPECT_TRUE(std::filesystem::remove(prefix + "_guidance_1_from_" + start + ".safetensors"));
  }
}

class LandingTest : public ReferenceTest {
 protected:
  // Three images of each guidance scale at the second of four steps, which is to run feedback,
  // aiming at `target`.
  std::vector<Trajectory> AtSecondStep(double target,
                                       const std::vector<double>& guidance_scales = {1.0}) {
    const FeedbackPlan plan = {.steps = 4,
                               .timesteps = {999, 700, 400, 100},
                               .feedback = {{1, target}},
                               .feedback_in_history = false};
    const Reference noise = UnsolvedReference(
        model_.config(), {.images = 3 * static_cast<int64_t>(guidance_scales.size()),
                          .guidance_scales = guidance_scales});
    std::vector<Trajectory> images =
        StartImages(denoiser_, MakeFeedbackStepPlan(schedule_, plan).value(), noise, at::kCPU);
    for (Trajectory& image : images) image.steps_done = 1;
    return images;
  }

  // Where the images land with a plain pass in place of feedback.
  at::Tensor LandPlain(std::vector<Trajectory> images) {
    for (Trajectory& image : images) image.plan.steps[1].pass = PassKind::kPlain;
    StepTogether(denoiser_, PointersTo(images));
    return LatentsOf(images);
  }
};

TEST_F(LandingTest, TeacherAtTheSourceTimestepIsThePlainStep) {
  std::vector<Trajectory> images = AtSecondStep(700);
  const double sigma = schedule_.SigmaAt(700);
  const at::Tensor noise = NoiseOf(model_.config(), 50, 3);
  const at::Tensor clean = (LatentsOf(images) * std::sqrt(1 + sigma * sigma) - sigma * noise);
  const at::Tensor plain = LandPlain(images);
  EXPECT_LT(
      Rmse(LandWithRenoisedTeacher(model_, schedule_, PointersTo(images), clean, noise), plain),
      1e-4);
}

// As docs/ilf.md writes it, with and without guidance.
TEST_F(LandingTest, TheRenoisedTeacherSeesTheSameNoiseAtTheTarget) {
  at::NoGradGuard no_grad;
  std::vector<Trajectory> images = AtSecondStep(350, {1.0, 3.0});
  const at::Tensor clean = NoiseOf(model_.config(), 60, 6) * 0.5;
  const at::Tensor noise = NoiseOf(model_.config(), 50, 6);
  const at::Tensor landed =
      LandWithRenoisedTeacher(model_, schedule_, PointersTo(images), clean, noise);
  const double sigma = schedule_.SigmaAt(350);
  const at::Tensor at_target = (clean + sigma * noise) / std::sqrt(1 + sigma * sigma);
  bool guided = false;
  for (int64_t i = 0; i < 6; ++i) {
    const Trajectory& image = images[i];
    guided |= image.guided();
    const auto output = [&](int64_t class_index) {
      return model_(at_target.narrow(0, i, 1), at::full({1}, 350.0), at::full({1}, class_index))
          .narrow(1, 0, model_.config().in_channels);
    };
    const at::Tensor unguided = output(model_.config().num_classes);
    const at::Tensor eps =
        unguided + image.guidance_scale * (output(image.condition.class_index) - unguided);
    const PlannedStep& step = image.next_step();
    const at::Tensor x0 = step.p * image.x + step.q * eps;
    const at::Tensor next = step.a * image.x + step.b * x0 + step.e * eps;
    EXPECT_LT(Rmse(landed.narrow(0, i, 1), next), 1e-4) << i;
  }
  EXPECT_TRUE(guided);
}

TEST_F(LandingTest, TeacherThatTakesOneStepLandsWhereAPlainStepDoes) {
  std::vector<Trajectory> images = AtSecondStep(400);
  EXPECT_LT(Rmse(LandWithTeacherSolve(model_, schedule_, PointersTo(images), 1), LandPlain(images)),
            1e-4);
}

TEST_F(LandingTest, FinerTeachersAgreeWithEachOther) {
  std::vector<Trajectory> images = AtSecondStep(500);
  const auto solve = [&](int substeps) {
    return LandWithTeacherSolve(model_, schedule_, PointersTo(images), substeps);
  };
  EXPECT_LT(Rmse(solve(16), solve(32)), 0.3 * Rmse(solve(1), solve(32)));
  const auto output = [&](int substeps) {
    return LandWithTeacherOnTrajectory(model_, schedule_, PointersTo(images), substeps);
  };
  EXPECT_LT(Rmse(output(16), output(32)), 0.3 * Rmse(output(1), output(32)));
}

TEST_F(LandingTest, ATargetAtTheLastTimestepIsTheLimitOfThoseBeforeIt) {
  const auto land = [&](double target) {
    std::vector<Trajectory> images = AtSecondStep(target);
    return LandWithTeacherOnTrajectory(model_, schedule_, PointersTo(images), 4);
  };
  EXPECT_LT(Rmse(land(0), land(1)), 0.05 * Rmse(land(0), land(400)));
}

TEST_F(LandingTest, LeavesTheImagesWhereTheyWere) {
  std::vector<Trajectory> images = AtSecondStep(500);
  const at::Tensor before = LatentsOf(images).clone();
  LandWithTeacherSolve(model_, schedule_, PointersTo(images), 3);
  EXPECT_TRUE(at::equal(LatentsOf(images), before));
  EXPECT_EQ(images[0].steps_done, 1);
}

}  // namespace
}  // namespace ilf
