#include "engine/pipeline/denoiser.h"

#include <utility>

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros_like.h>

#include "engine/sampling/update.h"

namespace ilf {
namespace {

// The rows of one forward pass: first every image's own, then the null-class rows of the guided ones.
struct Rows {
  std::vector<at::Tensor> latents;
  std::vector<float> timesteps;
  std::vector<int64_t> classes;
};

const PlannedStep& NextStep(const Trajectory& image) { return image.plan.steps[image.steps_done]; }

void AddRow(const Trajectory& image, int64_t class_index, Rows& rows) {
  const PlannedStep& step = NextStep(image);
  rows.latents.push_back(step.c_in == 1.0 ? image.x : image.x * step.c_in);
  rows.timesteps.push_back(static_cast<float>(step.timestep));
  rows.classes.push_back(class_index);
}

// The guided model output of every image, [images, channels, h, w] float32.
at::Tensor Predict(const DitTransformer& model, absl::Span<Trajectory* const> images) {
  Rows rows;
  for (const Trajectory* image : images) AddRow(*image, image->class_index, rows);
  std::vector<float> scales;
  std::vector<int64_t> guided;  // images that have a null-class row
  for (size_t i = 0; i < images.size(); ++i) {
    if (!images[i]->guided()) continue;
    AddRow(*images[i], model.config().num_classes, rows);
    scales.push_back(static_cast<float>(images[i]->guidance_scale));
    guided.push_back(static_cast<int64_t>(i));
  }

  const c10::Device device = images[0]->x.device();
  const at::Tensor output = model(at::cat(rows.latents), at::tensor(rows.timesteps).to(device),
                                  at::tensor(rows.classes).to(device));
  // With learned sigma the variance is in the other half; no solver of ours uses it.
  const at::Tensor prediction = output.narrow(1, 0, model.config().in_channels).to(at::kFloat);
  const int64_t count = static_cast<int64_t>(images.size());
  const at::Tensor own = prediction.narrow(0, 0, count);
  if (guided.empty()) return own;
  const at::Tensor uncond = prediction.narrow(0, count, static_cast<int64_t>(guided.size()));
  const at::Tensor scale = at::tensor(scales).to(device).view({-1, 1, 1, 1});
  if (guided.size() == images.size()) return uncond + scale * (own - uncond);
  const at::Tensor index = at::tensor(guided).to(device);
  const at::Tensor cond = own.index_select(0, index);
  return own.index_copy(0, index, uncond + scale * (cond - uncond));
}

}  // namespace

Trajectory StartTrajectory(StepPlan plan, const at::Tensor& noise, int64_t class_index,
                           double guidance_scale) {
  Trajectory image;
  image.x = noise * plan.initial_noise_scale;
  image.plan = std::move(plan);
  image.class_index = class_index;
  image.guidance_scale = guidance_scale;
  return image;
}

void StepTogether(const DitTransformer& model, absl::Span<Trajectory* const> images) {
  std::vector<at::Tensor> x, x0_previous;
  std::vector<PlannedStep> steps;
  for (const Trajectory* image : images) {
    x.push_back(image->x);
    x0_previous.push_back(image->x0.defined() ? image->x0 : at::zeros_like(image->x));
    steps.push_back(NextStep(*image));
  }
  const at::Tensor output = Predict(model, images);
  const UpdateResult result = ApplyUpdate(at::cat(x), output, at::cat(x0_previous),
                                          StepCoefficients(steps).to(output.device()));
  // Copies, so that an image does not keep the whole batch's memory; all of them before the first image moves,
  // because a copy may run out of memory.
  std::vector<at::Tensor> next_x, next_x0;
  for (int64_t i = 0; i < result.x.size(0); ++i) {
    next_x.push_back(result.x.narrow(0, i, 1).clone());
    next_x0.push_back(result.x0.narrow(0, i, 1).clone());
  }
  for (size_t i = 0; i < images.size(); ++i) {
    images[i]->x = std::move(next_x[i]);
    images[i]->x0 = std::move(next_x0[i]);
    ++images[i]->steps_done;
  }
}

}  // namespace ilf
