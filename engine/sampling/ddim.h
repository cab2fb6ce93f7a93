// DDIM without added noise (eta 0), as diffusers' DDIMScheduler computes it.
#pragma once

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/sampling/level_spacing.h"
#include "engine/sampling/noise_schedule.h"
#include "engine/sampling/step_plan.h"

namespace ilf {

// Each step goes from its timestep t to t - num_train_timesteps / steps (integer division),
// whatever the next timestep of the plan is; below 0 that is the final alpha. Where clip_sample
// clamps x0, the direction still points along the model's own noise. Failures are SpacedTimesteps'.
absl::StatusOr<StepPlan> DdimPlan(const NoiseSchedule& schedule, int steps);

// The same with steps that start at `starts`, noise falling, each of which goes to the next; the
// last one ends at the final alpha.
StepPlan DdimPlanFrom(const NoiseSchedule& schedule, absl::Span<const NoiseLevel> starts);

}  // namespace ilf
