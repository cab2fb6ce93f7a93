// The timesteps with which few steps follow a reference best.
#pragma once

#include <atomic>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/pipeline/denoiser.h"
#include "engine/sampling/feedback_plan.h"
#include "engine/sampling/noise_schedule.h"
#include "engine/training/plan_fit.h"
#include "engine/training/reference.h"

namespace ilf {

struct PlanSearchOptions {
  int max_rounds = 8;  // passes over all timesteps
  PlanRunOptions run;
};

// Coordinate search over the timesteps of `plan` (its steps, feedback and targets stay; a target
// that is the start of the next step moves with it), among those that `reference` keeps; each
// candidate gets its fitted coefficients. The first step starts at the noise. Reports on stderr;
// CANCELLED once `stop` is set; INVALID_ARGUMENT for more steps than timesteps to choose from.
absl::StatusOr<FittedPlan> SearchTimesteps(const Denoiser& denoiser, const NoiseSchedule& schedule,
                                           const FeedbackPlan& plan, const Reference& reference,
                                           const PlanSearchOptions& options,
                                           const std::atomic<bool>& stop);

// Timesteps of `levels` noise levels, even in log SNR from the schedule's last timestep to its
// first: what a search chooses from.
std::vector<double> DenseTimesteps(const NoiseSchedule& schedule, int levels);

}  // namespace ilf
