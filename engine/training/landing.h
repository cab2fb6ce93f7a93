// What a feedback step is trained to reach: distillation targets, as the latent where its update
// should land.
//
// With eps the model's (guided) output of a step, the update x' = a x + b clamp(p x + q eps) + c
// x0_previous + e eps is affine in eps, so that a target for eps and one for x' are the same thing,
// and the squared error of x' weighs an error of eps with what it does to the next state.
#pragma once

#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "absl/types/span.h"
#include "engine/pipeline/denoiser.h"
#include "engine/sampling/noise_schedule.h"

namespace ilf {

enum class LandingTarget {
  kRenoised,    // the paper's: the teacher's output on the clean image with the same noise at the
                // target timestep
  kTrajectory,  // the teacher's output at the target timestep of its own trajectory from x
  kEffective,   // the one output with which the update lands where the teacher's fine solve from x
                // lands
};

// Each takes images before their next step, which is a feedback step, and gives the latents after
// it, [images, channels, h, w]. The teacher is the backbone with plain passes, under each image's
// own guidance.

// clean [images, channels, h, w]: the image of each x; noise: the noise in each x.
at::Tensor LandWithRenoisedTeacher(const Transformer& teacher, const NoiseSchedule& schedule,
                                   absl::Span<Trajectory* const> images, const at::Tensor& clean,
                                   const at::Tensor& noise);

// The teacher takes `substeps` steps of DPM-Solver++ 2M, even in log SNR, to the target timestep.
at::Tensor LandWithTeacherOnTrajectory(const Transformer& teacher, const NoiseSchedule& schedule,
                                       absl::Span<Trajectory* const> images, int substeps);

// The teacher takes `substeps` steps of DPM-Solver++ 2M, even in log SNR, to where the next step
// starts.
at::Tensor LandWithTeacherSolve(const Transformer& teacher, const NoiseSchedule& schedule,
                                absl::Span<Trajectory* const> images, int substeps);

}  // namespace ilf
