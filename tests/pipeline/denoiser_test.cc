#include "engine/pipeline/denoiser.h"

#include <utility>
#include <vector>

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/allclose.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/randn.h>
#include <c10/core/InferenceMode.h>
#include <gtest/gtest.h>

#include "engine/checkpoint/state_dict.h"
#include "engine/sampling/solver.h"
#include "engine/training/initial_weights.h"

namespace ilf {
namespace {

constexpr int64_t kClasses = 3;

Transformer SmallModel(bool learned_sigma = false) {
  TransformerConfig config;
  config.num_attention_heads = 2;
  config.attention_head_dim = 8;
  config.num_layers = 2;
  config.sample_size = 4;
  config.num_classes = kClasses;
  if (learned_sigma) config.out_channels = 8;
  const at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(/*seed=*/5);
  NamedTensors weights = InitialTransformer(config, generator);
  for (auto& [name, tensor] : weights) tensor = at::randn(tensor.sizes(), generator) * 0.2;
  StateDict tensors(WithEmbedderCopies(weights, config), "random weights");
  return Transformer::Load(config, tensors, {}).value();
}

// A module that changes much.
FeedbackModule LoudModule(const TransformerConfig& backbone) {
  const FeedbackConfig config = {.inner = {0, 2}};
  const at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(/*seed=*/6);
  NamedTensors weights = InitialFeedback(config, backbone, generator);
  for (auto& [name, tensor] : weights) tensor = at::randn(tensor.sizes(), generator) * 0.2;
  weights["scales"].fill_(1.0);
  StateDict tensors(weights, "random weights");
  return FeedbackModule::Load(config, backbone, tensors, {}).value();
}

class DenoiserTest : public ::testing::Test {
 protected:
  Trajectory Start(int64_t class_index, double guidance_scale, int steps = 4) {
    const at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(/*seed=*/9);
    return StartTrajectory(MakeStepPlan(schedule_, SolverKind::kDpmSolverPp2m, steps).value(),
                           at::randn({1, 4, 4, 4}, generator), class_index, guidance_scale);
  }

  at::Tensor Step(const Transformer& model, Trajectory image) {
    Trajectory* const only = &image;
    StepTogether({&model}, {&only, 1});
    return image.x;
  }

  c10::InferenceMode inference_;
  const NoiseSchedule schedule_ = NoiseSchedule::Create({}).value();
  const Transformer model_ = SmallModel();
};

TEST_F(DenoiserTest, GuidanceTowardsTheNullClassItselfChangesNothing) {
  const at::Tensor plain = Step(model_, Start(kClasses, 1.0));
  const at::Tensor guided = Step(model_, Start(kClasses, 5.0));
  EXPECT_TRUE(at::allclose(plain, guided, /*rtol=*/0, /*atol=*/1e-5));
}

// If one of an image's rows ran plain, they would differ, and so would what guidance makes of them.
TEST_F(DenoiserTest, BothRowsOfAGuidedImageRunFeedback) {
  const FeedbackModule module = LoudModule(model_.config());
  const Denoiser accelerated = {&model_, &module};
  const auto step = [&](double guidance_scale, PassKind pass) {
    Trajectory image = Start(kClasses, guidance_scale);
    image.plan.steps[0].pass = pass;
    Trajectory* const only = &image;
    StepTogether(accelerated, {&only, 1});
    return image.x;
  };
  const at::Tensor plain = step(1.0, PassKind::kFeedback);
  EXPECT_FALSE(at::allclose(plain, step(1.0, PassKind::kPlain), /*rtol=*/0, /*atol=*/1e-2));
  const at::Tensor guided = step(5.0, PassKind::kFeedback);
  EXPECT_TRUE(at::allclose(plain, guided, /*rtol=*/0, /*atol=*/1e-5));
}

TEST_F(DenoiserTest, GuidanceIsLinearInItsScale) {
  const at::Tensor at_2 = Step(model_, Start(1, 2.0));
  const at::Tensor at_3 = Step(model_, Start(1, 3.0));
  const at::Tensor at_4 = Step(model_, Start(1, 4.0));
  EXPECT_FALSE(at::allclose(at_2, at_4, 0, 1e-4));
  EXPECT_TRUE(at::allclose((at_2 + at_4) / 2, at_3, /*rtol=*/0, /*atol=*/1e-4));
}

TEST_F(DenoiserTest, MixedGuidanceInOneBatchIsThatOfEachImage) {
  std::vector<Trajectory> images = {Start(0, 1.0), Start(1, 3.0), Start(2, 1.0), Start(0, 2.0)};
  std::vector<Trajectory*> pointers;
  for (Trajectory& image : images) pointers.push_back(&image);
  StepTogether({&model_}, pointers);
  EXPECT_TRUE(at::equal(images[0].x, Step(model_, Start(0, 1.0))));
  EXPECT_TRUE(at::equal(images[1].x, Step(model_, Start(1, 3.0))));
  EXPECT_TRUE(at::equal(images[2].x, Step(model_, Start(2, 1.0))));
  EXPECT_TRUE(at::equal(images[3].x, Step(model_, Start(0, 2.0))));
}

TEST_F(DenoiserTest, TheLastStepEndsAtThePredictedPicture) {
  Trajectory image = Start(1, 1.0, /*steps=*/2);
  Trajectory* const only = &image;
  StepTogether({&model_}, {&only, 1});
  StepTogether({&model_}, {&only, 1});
  EXPECT_EQ(image.steps_done, 2);
  EXPECT_TRUE(at::allclose(image.x, image.x0, /*rtol=*/1e-5, /*atol=*/1e-5));
}

TEST_F(DenoiserTest, LearnedSigmaIsLeftOut) {
  const at::Tensor x = Step(SmallModel(/*learned_sigma=*/true), Start(1, 2.0));
  EXPECT_EQ(x.sizes(), (std::vector<int64_t>{1, 4, 4, 4}));
}

}  // namespace
}  // namespace ilf
