#include "engine/evaluation/evaluator.h"

#include <algorithm>
#include <filesystem>
#include <limits>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <torch/types.h>

#include "engine/pipeline/diffusion_model.h"
#include "engine/training/feedback_writer.h"
#include "engine/training/initial_weights.h"
#include "engine/training/plan_fit.h"
#include "tests/training/small_classifier.h"
#include "tests/training/small_dataset.h"
#include "tests/training/small_model.h"

namespace ilf {
namespace {

constexpr int kLayers = 4;
constexpr int kInner = 2;
constexpr int kSteps = 3;

// A small model with a random module that runs in the last two of three steps.
class EvaluatorTest : public ::testing::Test {
 protected:
  EvaluatorTest() {
    const TransformerConfig backbone = SmallDitConfig();
    const FeedbackConfig config = {.inner = {1, 1 + kInner}};
    const at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(/*seed=*/3);
    NamedTensors weights = InitialFeedback(config, backbone, generator);
    for (auto& [name, tensor] : weights) tensor = at::randn(tensor.sizes(), generator) * 0.3;
    CalibratedPlan plan;
    plan.plan = {.steps = kSteps, .feedback = {{1, 300}, {2, 0}}};
    plan.steps = MakeFeedbackStepPlan(DiffusionModel::Load(root_, "small", {}).value()->schedule(),
                                      plan.plan)
                     .value();
    plan.equivalent_steps = kSteps;
    ModelDirectory directory;
    directory.path = root_;
    EXPECT_TRUE(
        WriteFeedback(root_, BackboneSha256(directory).value(), config, {plan}, weights, at::kFloat)
            .ok());
    model_ = DiffusionModel::Load(root_, "small", {}).value();
    silent_ = LoadSilentFeedback(root_, {}).value();
    images_ =
        UnsolvedReference(model_->transformer().config(), {.images = 5, .guidance_scales = {1.0}});
  }
  ~EvaluatorTest() override { std::filesystem::remove_all(root_); }

  Cell Planned(bool silent) const {
    Cell cell = PlanCells(model_->schedule(), model_->feedback_plans(), "feedback").front();
    cell.silent = silent;
    return cell;
  }
  Cell Plain() const {
    Cell cell = Planned(false);
    cell.plan.feedback.clear();
    return cell;
  }
  Evaluator Batches(int64_t of) const { return Evaluator(*model_, &*silent_, of); }

  const std::string root_ = SmallModelDirectory("evaluator");
  std::shared_ptr<const DiffusionModel> model_;
  std::optional<FeedbackModule> silent_;
  Reference images_;
};

TEST_F(EvaluatorTest, CountsTheBlocksOfPlainAndFeedbackSteps) {
  Measurement plain, fed_back, silent;
  ASSERT_TRUE(Batches(4).Sample(Plain(), images_, plain).ok());
  ASSERT_TRUE(Batches(4).Sample(Planned(false), images_, fed_back).ok());
  ASSERT_TRUE(Batches(4).Sample(Planned(true), images_, silent).ok());
  EXPECT_EQ(plain.block_evaluations, kSteps * kLayers);
  EXPECT_EQ(fed_back.block_evaluations, kSteps * kLayers + 2 * (kInner + 1));
  EXPECT_EQ(silent.block_evaluations, fed_back.block_evaluations);
}

TEST_F(EvaluatorTest, SilentFeedbackPaintsWhatPlainStepsDo) {
  Measurement cost;
  const at::Tensor plain = Batches(4).Sample(Plain(), images_, cost).value();
  EXPECT_TRUE(at::equal(Batches(4).Sample(Planned(true), images_, cost).value(), plain));
  EXPECT_FALSE(at::equal(Batches(4).Sample(Planned(false), images_, cost).value(), plain));
}

TEST_F(EvaluatorTest, ErrorsAreThoseOfLatentsAndOfPicturesInRange) {
  const std::atomic<bool> stop{false};
  const Reference reference =
      SolveReference(
          {&model_->transformer()}, model_->schedule(), {999},
          {.images = 5, .subjects = ClassesOf(model_->transformer().config()), .min_steps = 30},
          root_ + "/reference.safetensors", "", stop)
          .value();
  const Evaluator evaluator = Batches(2);
  Measurement cost;
  const at::Tensor latents = evaluator.Sample(Plain(), reference, cost).value();
  const at::Tensor truth = model_->autoencoder().DecodeScaled(reference.final_latents());
  const at::Tensor painted = model_->autoencoder().DecodeScaled(latents);
  const Measurement measured =
      evaluator.Compare(Plain(), reference, evaluator.Decode(reference.final_latents())).value();
  EXPECT_EQ(measured.latent_rmse, Rmse(latents, reference.final_latents()));
  EXPECT_NEAR(measured.rmse, Rmse(painted.clamp(-1, 1), truth.clamp(-1, 1)), 1e-6);
  std::vector<double> of_pictures;
  for (int64_t i = 0; i < reference.images(); ++i) {
    of_pictures.push_back(Rmse(painted[i].clamp(-1, 1), truth[i].clamp(-1, 1)));
  }
  std::sort(of_pictures.begin(), of_pictures.end());
  ASSERT_EQ(of_pictures.size(), 5);
  EXPECT_NEAR(measured.median_rmse, of_pictures[2], 1e-6);
}

// Of pictures alone, not of how many are judged at a time.
TEST_F(EvaluatorTest, TheJudgeSaysTheSameOfAnyBatches) {
  const ImageClassifier classifier =
      ImageClassifier::LoadDirectory(SmallClassifier("evaluator")).value();
  const ImageFolder folder = ImageFolder::Open(SmallDataset("evaluator", 12, 8), 8).value();
  const FeatureStatistics real =
      FolderStatistics(classifier, folder, std::numeric_limits<int64_t>::max(), 4).value();
  Measurement cost;
  const at::Tensor latents = Batches(5).Sample(Planned(false), images_, cost).value();
  const at::Tensor features = classifier.Features(Batches(5).Decode(latents));
  const double distance = FrechetDistance(StatisticsOf(features), real);
  EXPECT_GT(distance, 0.0);
  const std::atomic<bool> stop{false};
  for (const int64_t batch : {2, 5}) {
    const PictureQuality quality =
        Batches(batch).Judge(Planned(false), images_, classifier, real, stop).value();
    EXPECT_NEAR(quality.fid, distance, 1e-4 * distance) << batch;
  }
}

TEST_F(EvaluatorTest, TheJudgeStopsBetweenBatches) {
  const ImageClassifier classifier =
      ImageClassifier::LoadDirectory(SmallClassifier("evaluator")).value();
  const std::atomic<bool> stop{true};
  EXPECT_EQ(
      Batches(2).Judge(Plain(), images_, classifier, FeatureStatistics(), stop).status().code(),
      absl::StatusCode::kCancelled);
}

}  // namespace
}  // namespace ilf
