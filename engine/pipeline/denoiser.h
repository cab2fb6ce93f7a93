// One step of a batch of images, each on its own trajectory.
#pragma once

#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

#include "absl/types/span.h"
#include "engine/model/dit_transformer.h"
#include "engine/sampling/step_plan.h"

namespace ilf {

// An image on its way from noise to latent. Everything that differs between images of a batch is here.
struct Trajectory {
  StepPlan plan;
  int64_t class_index = 0;
  double guidance_scale = 1.0;  // 1: one row, no guidance
  int steps_done = 0;
  at::Tensor x;   // [1, channels, h, w] float32, on the model's device
  at::Tensor x0;  // the latest prediction, like x; undefined before the first step

  bool guided() const { return guidance_scale != 1.0; }
  int rows() const { return guided() ? 2 : 1; }
};

// A trajectory that starts at `noise` [1, channels, h, w] (unit normal).
Trajectory StartTrajectory(StepPlan plan, const at::Tensor& noise, int64_t class_index,
                           double guidance_scale);

// Takes every image one step further in one forward pass of one row an image, or two with guidance:
// prediction = uncond + scale * (cond - uncond) (Ho & Salimans, "Classifier-Free Diffusion Guidance").
// An image's bits do not depend on the others (with a batch_invariant model). Nothing changes when it throws.
void StepTogether(const DitTransformer& model, absl::Span<Trajectory* const> images);

}  // namespace ilf
