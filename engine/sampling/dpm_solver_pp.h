// DPM-Solver++ (multistep) of order 1 or 2, as diffusers' DPMSolverMultistepScheduler
// computes it.
#pragma once

#include <set>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/sampling/level_spacing.h"
#include "engine/sampling/noise_schedule.h"
#include "engine/sampling/step_plan.h"

namespace ilf {

// UNIMPLEMENTED for a solver_order above 2; other failures are SpacedTimesteps'.
absl::StatusOr<StepPlan> DpmSolverPpPlan(const NoiseSchedule& schedule, int steps);

// The same with steps that start at `starts`, noise falling; solver_order is 1 or 2. The steps in
// `without_history` neither use the x0 of the step before nor lend theirs to the next: first order
// for both.
StepPlan DpmSolverPpPlanFrom(const NoiseSchedule& schedule, absl::Span<const NoiseLevel> starts,
                             const std::set<int>& without_history = {});

}  // namespace ilf
