#include "engine/pipeline/denoiser.h"

#include <utility>

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros_like.h>

#include "engine/base/check.h"
#include "engine/model/feedback_pass.h"
#include "engine/sampling/update.h"

namespace ilf {
namespace {

// The rows of one forward pass: first every image's own, then the unconditional rows of the guided
// ones.
struct Rows {
  std::vector<at::Tensor> latents;
  std::vector<float> timesteps;
  std::vector<int64_t> feedback;  // positions of the rows that run feedback
  std::vector<float> targets;     // and what they aim at
};

void AddRow(const Trajectory& image, Rows& rows) {
  const PlannedStep& step = image.next_step();
  if (step.pass == PassKind::kFeedback) {
    rows.feedback.push_back(static_cast<int64_t>(rows.latents.size()));
    rows.targets.push_back(static_cast<float>(step.target_timestep));
  }
  rows.latents.push_back(step.c_in == 1.0 ? image.x : image.x * step.c_in);
  rows.timesteps.push_back(static_cast<float>(step.timestep));
}

// The model's output for every row, [rows, out_channels, h, w] float32.
at::Tensor Forward(const Denoiser& denoiser, const Rows& rows, const RowConditions& conditions,
                   c10::Device device) {
  const at::Tensor latents = at::cat(rows.latents);
  const at::Tensor timesteps = at::tensor(rows.timesteps).to(device);
  if (rows.feedback.empty()) return (*denoiser.transformer)(latents, timesteps, conditions);
  Check(denoiser.feedback != nullptr, "a feedback pass without a feedback module");
  return PassWithFeedback(*denoiser.transformer, *denoiser.feedback, latents, timesteps, conditions,
                          {rows.feedback, at::tensor(rows.targets).to(device)});
}

}  // namespace

Trajectory StartTrajectory(StepPlan plan, const at::Tensor& noise, ImageCondition condition,
                           double guidance_scale) {
  Trajectory image;
  image.x = noise * plan.initial_noise_scale;
  image.plan = std::move(plan);
  image.condition = std::move(condition);
  image.guidance_scale = guidance_scale;
  return image;
}

int64_t Denoiser::BlocksOf(PassKind pass) const {
  const int64_t plain = transformer->config().num_layers;
  return pass == PassKind::kPlain ? plain : plain + feedback->config().extra_blocks();
}

PromptContext Denoiser::ReadPrompt(const at::Tensor& embeddings, const at::Tensor& mask) const {
  PromptContext context = transformer->ReadPrompt(embeddings, mask);
  if (feedback != nullptr) feedback->ReadPrompt(context);
  return context;
}

RowConditions RowConditionsOf(const Denoiser& denoiser, absl::Span<Trajectory* const> images) {
  const TransformerConfig& config = denoiser.transformer->config();
  std::vector<int64_t> classes;
  std::vector<PromptRows::Context> prompts;
  std::vector<float> sizes;
  const auto add = [&](const Trajectory& image, int64_t class_index,
                       const PromptRows::Context& prompt) {
    classes.push_back(class_index);
    prompts.push_back(prompt);
    for (const int64_t axis : {2, 3}) {
      sizes.push_back(static_cast<float>(image.x.size(axis) * denoiser.downscale));
    }
  };
  for (const Trajectory* image : images) {
    add(*image, image->condition.class_index, image->condition.prompt);
  }
  for (const Trajectory* image : images) {
    if (image->guided()) add(*image, config.num_classes, image->condition.negative_prompt);
  }
  const c10::Device device = images[0]->x.device();
  if (!config.reads_text()) return at::tensor(classes).to(device);
  if (!config.micro_conditions.value_or(false)) return RowConditions(PromptRows(prompts));
  return RowConditions(PromptRows(prompts), at::tensor(sizes).view({-1, 2}).to(device));
}

at::Tensor CombineGuidance(const at::Tensor& output, int64_t channels,
                           absl::Span<const double> scales) {
  // With learned sigma the variance is in the other channels; no solver of ours uses it.
  const at::Tensor prediction = output.narrow(1, 0, channels).to(at::kFloat);
  std::vector<int64_t> guided;
  std::vector<float> guided_scales;
  for (size_t i = 0; i < scales.size(); ++i) {
    if (scales[i] == 1.0) continue;
    guided.push_back(static_cast<int64_t>(i));
    guided_scales.push_back(static_cast<float>(scales[i]));
  }
  const int64_t count = static_cast<int64_t>(scales.size());
  const at::Tensor own = prediction.narrow(0, 0, count);
  if (guided.empty()) return own;
  const at::Tensor uncond = prediction.narrow(0, count, static_cast<int64_t>(guided.size()));
  const at::Tensor scale = at::tensor(guided_scales).to(output.device()).view({-1, 1, 1, 1});
  if (guided.size() == scales.size()) return uncond + scale * (own - uncond);
  const at::Tensor index = at::tensor(guided).to(output.device());
  const at::Tensor cond = own.index_select(0, index);
  return own.index_copy(0, index, uncond + scale * (cond - uncond));
}

at::Tensor PredictTogether(const Denoiser& denoiser, absl::Span<Trajectory* const> images) {
  Rows rows;
  std::vector<double> scales;
  for (const Trajectory* image : images) {
    AddRow(*image, rows);
    scales.push_back(image->guidance_scale);
  }
  for (const Trajectory* image : images) {
    if (image->guided()) AddRow(*image, rows);
  }
  const at::Tensor output =
      Forward(denoiser, rows, RowConditionsOf(denoiser, images), images[0]->x.device());
  return CombineGuidance(output, denoiser.transformer->config().in_channels, scales);
}

void StepTogether(const Denoiser& denoiser, absl::Span<Trajectory* const> images) {
  std::vector<at::Tensor> x, x0_previous;
  std::vector<PlannedStep> steps;
  for (const Trajectory* image : images) {
    x.push_back(image->x);
    x0_previous.push_back(image->x0.defined() ? image->x0 : at::zeros_like(image->x));
    steps.push_back(image->next_step());
  }
  const at::Tensor output = PredictTogether(denoiser, images);
  const UpdateResult result = ApplyUpdate(at::cat(x), output, at::cat(x0_previous),
                                          StepCoefficients(steps).to(output.device()));
  // Copies, so that an image does not keep the whole batch's memory; all of them before the first
  // image moves, because a copy may run out of memory.
  std::vector<at::Tensor> next_x, next_x0;
  for (int64_t i = 0; i < result.x.size(0); ++i) {
    next_x.push_back(result.x.narrow(0, i, 1).clone());
    next_x0.push_back(result.x0.narrow(0, i, 1).clone());
  }
  for (size_t i = 0; i < images.size(); ++i) {
    images[i]->block_evaluations +=
        images[i]->rows() * denoiser.BlocksOf(images[i]->next_step().pass);
    images[i]->x = std::move(next_x[i]);
    images[i]->x0 = std::move(next_x0[i]);
    ++images[i]->steps_done;
  }
}

}  // namespace ilf
