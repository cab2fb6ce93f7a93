// Euler's method, as diffusers' EulerDiscreteScheduler computes it (without churn).
#pragma once

#include "absl/status/statusor.h"
#include "engine/sampling/noise_schedule.h"
#include "engine/sampling/step_plan.h"

namespace ilf {

// The latent is not that of the other solvers but x0 + sigma * noise, so it starts at about the
// first sigma, and the model is shown 1 / sqrt(sigma^2 + 1) of it. Failures are EulerLevels'.
absl::StatusOr<StepPlan> EulerPlan(const NoiseSchedule& schedule, int steps);

}  // namespace ilf
