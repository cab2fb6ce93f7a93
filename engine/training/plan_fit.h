// How well a step plan follows a reference, and the solver coefficients with which it follows best.
#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "engine/pipeline/denoiser.h"
#include "engine/sampling/feedback_plan.h"
#include "engine/sampling/noise_schedule.h"
#include "engine/training/reference.h"

namespace ilf {

struct PlanRunOptions {
  int64_t batch = 64;  // images a forward
  c10::Device device = c10::kCPU;
};

// The final latents of all images of `reference` under `plan`, [images, channels, h, w] float32 on
// the CPU. MakeFeedbackStepPlan's errors.
absl::StatusOr<at::Tensor> RunPlan(const Denoiser& denoiser, const NoiseSchedule& schedule,
                                   const FeedbackPlan& plan, const Reference& reference,
                                   const PlanRunOptions& options);

struct FittedPlan {
  FeedbackPlan plan;  // with coefficients
  double rmse = 0.0;  // of its final latents to the reference's
};

// Step by step from the noise on, the coefficients a, b and c with which the update lands closest,
// in the least squares, to the reference's state at the next step. What the sampler visits is its
// own, so that a step also makes up for errors before it. `reference` keeps states at exactly the
// plan's timesteps.
absl::StatusOr<FittedPlan> FitCoefficients(const Denoiser& denoiser, const NoiseSchedule& schedule,
                                           FeedbackPlan plan, const Reference& reference,
                                           const PlanRunOptions& options);

}  // namespace ilf
