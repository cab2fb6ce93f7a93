// One step of a batch of images, each on its own trajectory.
#pragma once

#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

#include "absl/types/span.h"
#include "engine/model/feedback_module.h"
#include "engine/model/transformer.h"
#include "engine/sampling/step_plan.h"

namespace ilf {

// What an image is to show.
struct ImageCondition {
  ImageCondition(int64_t class_index = 0)  // NOLINT(google-explicit-constructor)
      : class_index(class_index) {}

  int64_t class_index;                  // with a DiT
  PromptRows::Context prompt;           // with a PixArt; see Denoiser::ReadPrompt
  PromptRows::Context negative_prompt;  // what guidance leads away from; not needed without it
};

// An image on its way from noise to latent. Everything that differs between images of a batch is
// here.
struct Trajectory {
  StepPlan plan;
  ImageCondition condition;
  double guidance_scale = 1.0;  // 1: one row, no guidance
  int steps_done = 0;
  int64_t block_evaluations = 0;  // run so far, counted per row
  at::Tensor x;                   // [1, channels, h, w] float32, on the model's device
  at::Tensor x0;                  // the latest prediction, like x; undefined before the first step

  bool guided() const { return guidance_scale != 1.0; }
  int rows() const { return guided() ? 2 : 1; }
  bool ended() const { return steps_done == static_cast<int>(plan.steps.size()); }
  const PlannedStep& next_step() const { return plan.steps[steps_done]; }
};

// A trajectory that starts at `noise` [1, channels, h, w] (unit normal).
Trajectory StartTrajectory(StepPlan plan, const at::Tensor& noise, ImageCondition condition,
                           double guidance_scale);

// What denoises: a backbone, and the feedback module that belongs to it where there is one.
struct Denoiser {
  const Transformer* transformer = nullptr;
  const FeedbackModule* feedback = nullptr;  // needed by images whose plan has feedback passes
  int64_t downscale = 8;  // pixels a latent's cell stands for, per side; for micro-conditions

  // Blocks that a pass of this kind runs on one row.
  int64_t BlocksOf(PassKind pass) const;

  // A prompt as both read it; arguments as of Transformer::ReadPrompt.
  PromptContext ReadPrompt(const at::Tensor& embeddings, const at::Tensor& mask = {}) const;
};

// Classifier-free guidance (Ho & Salimans): uncond + scale * (cond - uncond) for every image.
// output [rows, >= channels, h, w]: a row of every image, then an unconditional row of each image
// whose scale is not 1, in order -> [images, channels, h, w] float32.
at::Tensor CombineGuidance(const at::Tensor& output, int64_t channels,
                           absl::Span<const double> scales);

// What the rows of one forward of images of one size are to show: a row of every image, then an
// unconditional row of each guided one, in order.
RowConditions RowConditionsOf(const Denoiser& denoiser, absl::Span<Trajectory* const> images);

// The guided output for the next step of every image, all of one size, [images, channels, h, w]
// float32, in one forward pass of one row an image, or two with guidance. Plain and feedback passes
// share the forward; an image in a feedback pass runs it on all its rows. An image's bits do not
// depend on the others (with a batch_invariant model).
at::Tensor PredictTogether(const Denoiser& denoiser, absl::Span<Trajectory* const> images);

// Takes every image one step further in one forward pass, as PredictTogether; images may differ in
// size. Nothing changes when it throws.
void StepTogether(const Denoiser& denoiser, absl::Span<Trajectory* const> images);

}  // namespace ilf
