#include "engine/training/feedback_losses.h"

#include <string>

#include <ATen/CPUGeneratorImpl.h>
#include <torch/types.h>

#include <gtest/gtest.h>

#include "engine/sampling/feedback_plan.h"
#include "engine/training/initial_weights.h"
#include "tests/training/small_model.h"

namespace ilf {
namespace {

NamedTensors Random(NamedTensors weights) {
  const at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(7);
  for (auto& [name, tensor] : weights) tensor = at::randn(tensor.sizes(), generator) * 0.08;
  return weights;
}

// The backbone is frozen: no gradient of its weights is kept.
TEST(FeedbackLossesTest, EveryWeightOfTheModuleLearnsAndNoneOfTheBackbone) {
  const TransformerConfig config = SmallDitConfig();
  const FeedbackConfig feedback = {.inner = {2, 4}};
  const NamedTensors frozen =
      Random(InitialTransformer(config, at::make_generator<at::CPUGeneratorImpl>(1)));
  NamedTensors learned =
      Random(InitialFeedback(feedback, config, at::make_generator<at::CPUGeneratorImpl>(2)));
  for (auto& [name, tensor] : learned) tensor.requires_grad_(true);

  StateDict backbone_tensors(WithEmbedderCopies(frozen, config), "backbone");
  const Transformer backbone = Transformer::Load(config, backbone_tensors,
                                                 {.batch_invariant = false, .differentiable = true})
                                   .value();
  StateDict module_tensors(learned, "module");
  const FeedbackModule module =
      FeedbackModule::Load(feedback, config, module_tensors, {.trainable = true}).value();
  const Denoiser student = {&backbone, &module};

  const NoiseSchedule schedule =
      NoiseSchedule::Create(DefaultConfigOf(SolverKind::kDpmSolverPp2m)).value();
  FeedbackPlan plan = {.steps = 2, .timesteps = {999, 600}, .feedback = {{0, 600.0}, {1, 0.0}}};
  const StepPlan steps = MakeFeedbackStepPlan(schedule, plan).value();
  Reference batch = UnsolvedReference(config, {.images = 2, .guidance_scales = {1.0, 2.5}});
  batch.states = at::cat({batch.states, at::zeros_like(batch.states)});  // solved to nothing
  ErrorsOnSampler(student, steps, CoefficientsOf(steps), batch, SamplerLoss::kFinal, {})
      .mean_square.backward();

  for (const auto& [name, tensor] : learned) {
    ASSERT_TRUE(tensor.grad().defined()) << name;
    EXPECT_GT(tensor.grad().abs().max().item<double>(), 0.0) << name;
  }
  for (const auto& [name, tensor] : frozen) {
    EXPECT_FALSE(tensor.requires_grad()) << name;
    EXPECT_FALSE(tensor.grad().defined()) << name;
  }
}

}  // namespace
}  // namespace ilf
