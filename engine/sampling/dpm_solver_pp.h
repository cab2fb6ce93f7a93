// DPM-Solver++ (multistep) of order 1 or 2, as diffusers' DPMSolverMultistepScheduler
// computes it.
#pragma once

#include "absl/status/statusor.h"
#include "engine/sampling/noise_schedule.h"
#include "engine/sampling/step_plan.h"

namespace ilf {

// UNIMPLEMENTED for a solver_order above 2; other failures are SpacedTimesteps'.
absl::StatusOr<StepPlan> DpmSolverPpPlan(const NoiseSchedule& schedule, int steps);

}  // namespace ilf
