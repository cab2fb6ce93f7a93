#include "engine/training/feedback_trainer.h"

#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "engine/checkpoint/state_dict.h"
#include "engine/pipeline/diffusion_model.h"
#include "engine/training/feedback_losses.h"
#include "engine/training/noise_seeds.h"
#include "engine/training/reference.h"
#include "tests/training/feedback_trainer_testing.h"
#include "tests/training/small_classifier.h"
#include "tests/training/small_dataset.h"
#include "tests/training/small_model.h"

namespace ilf {
namespace {

using ::testing::HasSubstr;

TEST_F(FeedbackTrainerTest, WritesAModuleThatIsCloserToTheReferenceThanPlainSteps) {
  WritePlans("");
  for (const SamplerLoss loss : {SamplerLoss::kFinal, SamplerLoss::kLanding}) {
    options_.loss = loss;
    options_.loop.resume = false;
    const absl::Status status = TrainFeedback(options_, stop_);
    ASSERT_TRUE(status.ok()) << status;
    const std::vector<double> measures = Measures();
    ASSERT_EQ(measures.size(), 2u);
    const auto model = Load();
    ASSERT_NE(model, nullptr);
    EXPECT_LT(measures.back(), 0.9 * PlainError(*model));
    ASSERT_EQ(model->info().feedback_plans.size(), 1u);
    EXPECT_EQ(model->info().feedback_plans[0].block_evaluations, 2 * (4 + 3));
  }
}

TEST_F(FeedbackTrainerTest, TakesTheNoisesThatItIsTold) {
  WritePlans("");
  options_.first_train_image = 24;
  options_.loop.steps = 1;
  ASSERT_TRUE(TrainFeedback(options_, stop_).ok());
  auto kept = StateDict::Load(
      model_ + "/training/feedback/training_noises_from_24_guidance_1_from_999.safetensors");
  ASSERT_TRUE(kept.ok()) << kept.status();
  const at::Tensor states = kept->Take("states", kept->Shape("states").value()).value();
  const auto model = Load();
  ASSERT_NE(model, nullptr);
  const TransformerConfig& config = model->transformer().config();
  const at::Tensor noises = NoiseOf(config, kFirstFeedbackTrainingSeed, 48);
  EXPECT_TRUE(at::equal(states[0], noises.narrow(0, 24, 24)));
}

TEST_F(FeedbackTrainerTest, LearnsFromTheErrorOfPictures) {
  WritePlans("");
  options_.loss = SamplerLoss::kPictures;
  const absl::Status status = TrainFeedback(options_, stop_);
  ASSERT_TRUE(status.ok()) << status;
  const auto model = Load();
  ASSERT_NE(model, nullptr);
  EXPECT_LT(Measures().back(), 0.9 * PlainError(*model, /*pictures=*/true));
}

TEST_F(FeedbackTrainerTest, PullsFeaturesOfPicturesToWhereRealOnesLie) {
  WritePlans("");
  options_.loss = SamplerLoss::kPictures;
  options_.classifier = SmallClassifier("feedback_trainer");
  options_.data = SmallDataset("feedback_trainer", 12, 8);
  options_.feature_weight = 20.0;
  options_.loop.checkpoint_every = 1;
  const absl::Status status = TrainFeedback(options_, stop_);
  ASSERT_TRUE(status.ok()) << status;
  const auto logged = [&](const char* key) {
    std::vector<double> values;
    std::ifstream log(model_ + "/training/feedback/validation.jsonl");
    for (std::string line; std::getline(log, line);) {
      values.push_back(nlohmann::json::parse(line)[key][0].get<double>());
    }
    return values;
  };
  EXPECT_LT(logged("frechet").back(), 0.95 * logged("frechet").front());
}

TEST_F(FeedbackTrainerTest, FeaturesAreOfPicturesAndNeedRealOnes) {
  WritePlans("");
  options_.classifier = SmallClassifier("feedback_trainer");
  options_.loss = SamplerLoss::kPictures;
  EXPECT_THAT(std::string(TrainFeedback(options_, stop_).message()), HasSubstr("(--data)"));
  options_.data = SmallDataset("feedback_trainer", 12, 8);
  options_.loss = SamplerLoss::kFinal;
  EXPECT_THAT(std::string(TrainFeedback(options_, stop_).message()),
              HasSubstr("--classifier needs --states sampler --loss pictures"));
}

TEST_F(FeedbackTrainerTest, WritesAModuleForAModelThatReadsText) {
  UseTextModel();
  WritePlans(R"(, "guidance_scales": [1, 3])");
  options_.initial = InitialBlock::kBackbone;
  const absl::Status status = TrainFeedback(options_, stop_);
  ASSERT_TRUE(status.ok()) << status;
  const auto model = Load();
  ASSERT_NE(model, nullptr);
  EXPECT_EQ(model->info().feedback_plans.size(), 1u);
  EXPECT_LT(Measures().back(), Measures().front());
}

TEST_F(FeedbackTrainerTest, LearnsOnCaptionedPictures) {
  UseTextModel();
  WritePlans(R"(, "feedback_in_history": false)");
  options_.states = FeedbackStates::kImages;
  options_.data = SmallCaptionedDataset("feedback_trainer", 12, 8);
  options_.loop.steps = 2;
  const absl::Status status = TrainFeedback(options_, stop_);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_TRUE(std::filesystem::exists(model_ + "/feedback/config.json"));
  options_.data = SmallDataset("feedback_trainer", 12, 8);
  EXPECT_THAT(std::string(TrainFeedback(options_, stop_).message()),
              HasSubstr("picture 0 has no \"text\""));
}

TEST_F(FeedbackTrainerTest, LearnsTheCoefficientsOfPlansThatHaveThem) {
  WritePlans(R"(, "coefficients": [[0.5, 0.6, 0], [0.0, 1.0, 0.0]])");
  options_.coefficient_gain = 10;
  ASSERT_TRUE(TrainFeedback(options_, stop_).ok());
  const auto model = Load();
  ASSERT_NE(model, nullptr);
  const FeedbackPlan plan = model->feedback_plans()[0].plan;
  EXPECT_NE(plan.coefficients[0].a, 0.5);
  EXPECT_EQ(plan.coefficients[0].c, 0.0);
  EXPECT_NE(plan.coefficients[1].c, 0.0);
}

TEST_F(FeedbackTrainerTest, PlansOfEqualGuidanceShareTheirReferences) {
  WritePlans(R"(}, {"steps": 1, "solver": "dpmsolver++", "timesteps": [999], "feedback_steps": [0],
                    "equivalent_steps": 2)");
  for (const SamplerLoss loss : {SamplerLoss::kFinal, SamplerLoss::kLanding}) {
    options_.loss = loss;
    options_.loop.steps = 2;
    options_.loop.resume = false;
    const absl::Status status = TrainFeedback(options_, stop_);
    ASSERT_TRUE(status.ok()) << status;
    std::set<std::string> files;
    for (const auto& entry : std::filesystem::directory_iterator(model_ + "/training/feedback")) {
      if (entry.path().string().find("guidance") != std::string::npos) {
        files.insert(entry.path().filename());
      }
    }
    EXPECT_EQ(files, (std::set<std::string>{"training_guidance_1_from_999.safetensors",
                                            "validation_guidance_1_from_999.safetensors"}));
  }
}

TEST_F(FeedbackTrainerTest, EveryLossIsRelativeToTheErrorThatItsPlanStartsWith) {
  WritePlans(R"(}, {"steps": 1, "solver": "dpmsolver++", "timesteps": [999], "feedback_steps": [0],
                    "equivalent_steps": 2)");
  options_.loop.learning_rate = 0.0;
  options_.loop.steps = 2;  // one of each plan
  options_.loop.log_every = 1;
  for (const SamplerLoss loss : {SamplerLoss::kFinal, SamplerLoss::kPictures}) {
    options_.loss = loss;
    options_.loop.resume = false;
    ASSERT_TRUE(TrainFeedback(options_, stop_).ok());
    const std::vector<double> losses = Logged("losses.jsonl", "loss");
    ASSERT_EQ(losses.size(), 2u);
    // Other noises than those of the validation: not 1 to the bit.
    for (const double relative : losses) EXPECT_NEAR(relative, 1.0, 0.25);
  }
}

TEST_F(FeedbackTrainerTest, LearnsOnPicturesTowardsEveryTarget) {
  WritePlans(R"(, "feedback_in_history": false)");
  options_.states = FeedbackStates::kImages;
  options_.data = SmallDataset("feedback_trainer", 12, 8);
  options_.loop.steps = 2;
  for (const LandingTarget target :
       {LandingTarget::kRenoised, LandingTarget::kTrajectory, LandingTarget::kEffective}) {
    std::filesystem::remove_all(model_ + "/feedback");
    options_.teacher.target = target;
    options_.loop.resume = false;
    const absl::Status status = TrainFeedback(options_, stop_);
    ASSERT_TRUE(status.ok()) << status;
    EXPECT_TRUE(std::filesystem::exists(model_ + "/feedback/config.json"));
    options_.loop.resume = true;
    EXPECT_TRUE(TrainFeedback(options_, stop_).ok());
  }
  options_.teacher.target = LandingTarget::kRenoised;
  EXPECT_THAT(std::string(TrainFeedback(options_, stop_).message()),
              HasSubstr("other plans or settings; --no_resume begins anew"));
}

TEST_F(FeedbackTrainerTest, PicturesHaveNoHistory) {
  WritePlans("");
  options_.states = FeedbackStates::kImages;
  EXPECT_THAT(std::string(TrainFeedback(options_, stop_).message()), HasSubstr("--data"));
  options_.data = "/anywhere";
  EXPECT_THAT(std::string(TrainFeedback(options_, stop_).message()),
              HasSubstr("feedback_in_history must be false"));
}

TEST(PictureTaskTest, EveryFeedbackStepMeetsBothGuidanceScales) {
  for (const int steps : {1, 2, 3, 4}) {
    CalibratedPlan plan;
    for (int step = 0; step < steps; ++step) plan.plan.feedback.push_back({step, 0.0});
    plan.max_guidance_scale = 2.5;
    std::set<std::pair<int, double>> tasks;
    for (int64_t picture = 0; picture < 2 * steps; ++picture) {
      const PictureTask task = TaskOf(plan, picture);
      tasks.insert({task.feedback.step, task.guidance_scale});
    }
    EXPECT_EQ(tasks.size(), 2u * steps);
  }
}

TEST_F(FeedbackTrainerTest, LearnsBesideABackboneInBfloat16) {
  WritePlans("");
  options_.bf16_backbone = true;
  const absl::Status status = TrainFeedback(options_, stop_);
  ASSERT_TRUE(status.ok()) << status;
  const auto model = Load();
  ASSERT_NE(model, nullptr);
  EXPECT_LT(Measures().back(), 0.9 * PlainError(*model));
}

TEST_F(FeedbackTrainerTest, StatesOfImagesNeedNoTrainingReference) {
  WritePlans(R"(, "feedback_in_history": false)");
  options_.states = FeedbackStates::kImages;
  options_.data = SmallDataset("feedback_trainer", 12, 8);
  options_.loop.steps = 1;
  ASSERT_TRUE(TrainFeedback(options_, stop_).ok());
  for (const auto& entry : std::filesystem::directory_iterator(model_ + "/training/feedback")) {
    EXPECT_EQ(entry.path().filename().string().find("training_guidance"), std::string::npos);
  }
}

}  // namespace
}  // namespace ilf
