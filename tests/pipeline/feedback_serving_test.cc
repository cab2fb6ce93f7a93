// A model directory with a feedback module, served.
#include <filesystem>
#include <memory>
#include <string>
#include <utility>

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/randn.h>
#include <gtest/gtest.h>

#include "engine/pipeline/diffusion_model.h"
#include "engine/pipeline/torch_step_runner.h"
#include "engine/training/feedback_writer.h"
#include "engine/training/initial_weights.h"
#include "tests/testing/temp_path.h"

namespace ilf {
namespace {

constexpr int kSteps = 3;
constexpr int kExtraBlocks = 5;  // four inner blocks and the module's own

// The shipped model with a module whose scales are all `scale`: feedback in the first and the last
// of three steps.
class FeedbackServingTest : public ::testing::Test {
 protected:
  void Prepare(double scale) {
    namespace fs = std::filesystem;
    fs::remove_all(root_);
    fs::create_directories(root_);
    fs::copy(ILF_SOURCE_DIR "/models/fashion-dit", root_ + "/fashion-dit",
             fs::copy_options::recursive);
    const auto model = DiffusionModel::Load(root_ + "/fashion-dit", "fashion-dit", {});
    ASSERT_TRUE(model.ok()) << model.status();
    FeedbackConfig config;
    config.inner = {12, 16};
    CalibratedPlan plan;
    plan.plan = {.steps = kSteps, .feedback = {{0, 500}, {2, 0}}};
    plan.steps = MakeFeedbackStepPlan((*model)->schedule(), plan.plan).value();
    plan.equivalent_steps = 6;
    plan.max_guidance_scale = 4.0;
    const at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(/*seed=*/3);
    NamedTensors weights = InitialFeedback(config, (*model)->transformer().config(), generator);
    for (auto& [name, tensor] : weights) tensor = at::randn(tensor.sizes(), generator) * 0.1;
    weights["scales"].fill_(scale);
    ModelDirectory directory;
    directory.path = root_ + "/fashion-dit";
    const std::string backbone = BackboneSha256(directory).value();
    ASSERT_TRUE(WriteFeedback(directory.path, backbone, config, {plan}, weights, at::kFloat).ok());

    TorchRunnerOptions options;
    options.model_root = root_;
    options.devices = {"cpu"};
    options.dtype = "float32";
    auto made = MakeTorchRunners(options);
    ASSERT_TRUE(made.ok()) << made.status();
    runners_ = *std::move(made);
  }
  ~FeedbackServingTest() override { std::filesystem::remove_all(root_); }

  std::unique_ptr<ImageState> Begin(Acceleration acceleration) {
    GenerationRequest request;
    request.model = "fashion-dit";
    request.condition = ClassCondition{7};
    request.width = request.height = 32;
    request.steps = kSteps;
    request.guidance_scale = 2.0;
    request.seed = 11;
    request.solver = Solver::kDpmSolverPp2m;
    request.acceleration = acceleration;
    return runners_.runners[0]->Begin(request, 0).value();
  }

  void Step(ImageState& image) {
    ImageState* const only = &image;
    ASSERT_TRUE(runners_.runners[0]->Run({&only, 1}).ok());
  }

  std::string Png(Acceleration acceleration) {
    const std::unique_ptr<ImageState> image = Begin(acceleration);
    for (int i = 0; i < kSteps; ++i) Step(*image);
    return runners_.runners[0]->Finish(*image, ImageFormat::kPng).value().bytes;
  }

  const std::string root_ = TestPath("models");
  TorchRunners runners_;
};

TEST_F(FeedbackServingTest, ListsThePlanAndCountsWhatItRuns) {
  Prepare(/*scale=*/0.1);
  ASSERT_EQ(runners_.models[0].feedback_plans.size(), 1u);
  const FeedbackPlanInfo& plan = runners_.models[0].feedback_plans[0];
  EXPECT_EQ(plan.steps, kSteps);
  EXPECT_EQ(plan.feedback_steps, 2);
  EXPECT_EQ(plan.block_evaluations, kSteps * 28 + 2 * kExtraBlocks);

  const std::unique_ptr<ImageState> image = Begin(Acceleration::kFeedback);
  EXPECT_EQ(image->FeedbackSteps(), 2);
  EXPECT_EQ(image->FeedbackRows(), 2);
  Step(*image);
  EXPECT_EQ(image->BlockEvaluations(), 2 * (28 + kExtraBlocks));
  EXPECT_EQ(image->FeedbackRows(), 0);
  Step(*image);
  EXPECT_EQ(image->FeedbackRows(), 2);
  Step(*image);
  EXPECT_EQ(image->FeedbackRows(), 0);
  EXPECT_EQ(image->BlockEvaluations(), 2 * plan.block_evaluations);
  EXPECT_EQ(image->PlainBlockEvaluations(), 2 * 6 * 28);
}

TEST_F(FeedbackServingTest, PlainAndFeedbackImagesShareSteps) {
  Prepare(/*scale=*/0.1);
  EXPECT_EQ(Begin(Acceleration::kOff)->BatchKey(), Begin(Acceleration::kFeedback)->BatchKey());
}

TEST_F(FeedbackServingTest, ChangesThePictureOfThoseWhoAskForItOnly) {
  Prepare(/*scale=*/0.1);
  const std::string plain = Png(Acceleration::kOff);
  EXPECT_NE(Png(Acceleration::kFeedback), plain);
  EXPECT_EQ(Png(Acceleration::kOff), plain);
}

TEST_F(FeedbackServingTest, ScalesOfZeroPaintThePlainPicture) {
  Prepare(/*scale=*/0.0);
  EXPECT_EQ(Png(Acceleration::kFeedback), Png(Acceleration::kOff));
}

}  // namespace
}  // namespace ilf
