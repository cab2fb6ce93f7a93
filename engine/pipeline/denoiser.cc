#include "engine/pipeline/denoiser.h"

#include <algorithm>
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

using Images = std::vector<Trajectory*>;

struct Row {
  const Trajectory* image;
  bool unconditional;
};

// Of images of one size: a row of every image, then an unconditional row of each guided one.
std::vector<Row> RowsOf(absl::Span<Trajectory* const> images) {
  std::vector<Row> rows;
  for (const Trajectory* image : images) rows.push_back({image, false});
  for (const Trajectory* image : images) {
    if (image->guided()) rows.push_back({image, true});
  }
  return rows;
}

// Images of one size each, in the order in which the sizes come first.
std::vector<Images> BySize(absl::Span<Trajectory* const> images) {
  std::vector<Images> groups;
  for (Trajectory* image : images) {
    const auto same = [&](const Images& group) {
      return group.front()->x.sizes() == image->x.sizes();
    };
    const auto group = std::find_if(groups.begin(), groups.end(), same);
    if (group != groups.end()) {
      group->push_back(image);
    } else {
      groups.push_back({image});
    }
  }
  return groups;
}

// What the transformer reads of the rows of one group, [rows, channels, h, w].
at::Tensor InputOf(absl::Span<const Row> rows) {
  std::vector<at::Tensor> latents;
  for (const Row& row : rows) {
    const double c_in = row.image->next_step().c_in;
    latents.push_back(c_in == 1.0 ? row.image->x : row.image->x * c_in);
  }
  return at::cat(latents);
}

RowConditions ConditionsOfRows(const Denoiser& denoiser, absl::Span<const Row> rows) {
  const TransformerConfig& config = denoiser.transformer->config();
  std::vector<int64_t> classes;
  std::vector<PromptRows::Context> prompts;
  std::vector<float> sizes;
  for (const auto& [image, unconditional] : rows) {
    const ImageCondition& condition = image->condition;
    classes.push_back(unconditional ? config.num_classes : condition.class_index);
    prompts.push_back(unconditional ? condition.negative_prompt : condition.prompt);
    for (const int64_t axis : {2, 3}) {
      sizes.push_back(static_cast<float>(image->x.size(axis) * denoiser.downscale));
    }
  }
  const c10::Device device = rows.front().image->x.device();
  if (!config.reads_text()) return at::tensor(classes).to(device);
  if (!config.micro_conditions.value_or(false)) return RowConditions(PromptRows(prompts));
  return RowConditions(PromptRows(prompts), at::tensor(sizes).view({-1, 2}).to(device));
}

// The model's output for the rows of every group, [rows, out_channels, h, w] float32 each.
std::vector<at::Tensor> Forward(const Denoiser& denoiser, absl::Span<const Images> groups) {
  std::vector<Row> rows;
  std::vector<at::Tensor> latents;
  for (const Images& group : groups) {
    const std::vector<Row> own = RowsOf(group);
    latents.push_back(InputOf(own));
    rows.insert(rows.end(), own.begin(), own.end());
  }
  std::vector<float> timesteps, targets;
  std::vector<int64_t> feedback;
  for (size_t i = 0; i < rows.size(); ++i) {
    const PlannedStep& step = rows[i].image->next_step();
    timesteps.push_back(static_cast<float>(step.timestep));
    if (step.pass != PassKind::kFeedback) continue;
    feedback.push_back(static_cast<int64_t>(i));
    targets.push_back(static_cast<float>(step.target_timestep));
  }
  const c10::Device device = latents.front().device();
  const at::Tensor own_timesteps = at::tensor(timesteps).to(device);
  const RowConditions conditions = ConditionsOfRows(denoiser, rows);
  if (feedback.empty()) return (*denoiser.transformer)(latents, own_timesteps, conditions);
  Check(denoiser.feedback != nullptr, "a feedback pass without a feedback module");
  return PassWithFeedback(*denoiser.transformer, *denoiser.feedback, latents, own_timesteps,
                          conditions, {feedback, at::tensor(targets).to(device)});
}

// The guided output for the next step of the images of every group, [images, channels, h, w] each.
std::vector<at::Tensor> Predict(const Denoiser& denoiser, absl::Span<const Images> groups) {
  std::vector<at::Tensor> outputs = Forward(denoiser, groups);
  for (size_t i = 0; i < groups.size(); ++i) {
    std::vector<double> scales;
    for (const Trajectory* image : groups[i]) scales.push_back(image->guidance_scale);
    outputs[i] = CombineGuidance(outputs[i], denoiser.transformer->config().in_channels, scales);
  }
  return outputs;
}

// Where images of one size are after a step with this output.
UpdateResult Update(const Images& images, const at::Tensor& output) {
  std::vector<at::Tensor> x, x0_previous;
  std::vector<PlannedStep> steps;
  for (const Trajectory* image : images) {
    x.push_back(image->x);
    x0_previous.push_back(image->x0.defined() ? image->x0 : at::zeros_like(image->x));
    steps.push_back(image->next_step());
  }
  return ApplyUpdate(at::cat(x), output, at::cat(x0_previous),
                     StepCoefficients(steps).to(output.device()));
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
  return ConditionsOfRows(denoiser, RowsOf(images));
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
  return Predict(denoiser, {Images(images.begin(), images.end())}).front();
}

void StepTogether(const Denoiser& denoiser, absl::Span<Trajectory* const> images) {
  const std::vector<Images> groups = BySize(images);
  const std::vector<at::Tensor> outputs = Predict(denoiser, groups);
  // Copies, so that an image does not keep the whole batch's memory; all of them before the first
  // image moves, because a copy may run out of memory.
  std::vector<UpdateResult> next;
  for (size_t i = 0; i < groups.size(); ++i) {
    const UpdateResult result = Update(groups[i], outputs[i]);
    for (int64_t row = 0; row < result.x.size(0); ++row) {
      next.push_back({result.x.narrow(0, row, 1).clone(), result.x0.narrow(0, row, 1).clone()});
    }
  }
  auto moved = next.begin();
  for (const Images& group : groups) {
    for (Trajectory* image : group) {
      image->block_evaluations += image->rows() * denoiser.BlocksOf(image->next_step().pass);
      image->x = std::move(moved->x);
      image->x0 = std::move(moved->x0);
      ++image->steps_done;
      ++moved;
    }
  }
}

}  // namespace ilf
