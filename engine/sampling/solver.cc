#include "engine/sampling/solver.h"

#include "engine/base/check.h"
#include "engine/sampling/ddim.h"
#include "engine/sampling/dpm_solver_pp.h"

namespace ilf {

NoiseScheduleConfig DefaultConfigOf(SolverKind solver) {
  NoiseScheduleConfig config;
  if (solver == SolverKind::kDpmSolverPp2m) {
    config.timestep_spacing = TimestepSpacing::kLinspace;
    config.clip_sample = false;
  }
  return config;
}

absl::StatusOr<StepPlan> MakeStepPlan(const NoiseSchedule& schedule, SolverKind solver, int steps) {
  switch (solver) {
    case SolverKind::kDdim:
      return DdimPlan(schedule, steps);
    case SolverKind::kDpmSolverPp2m:
      return DpmSolverPpPlan(schedule, steps);
  }
  Check(false, "unknown solver");
  return StepPlan();
}

int MaxSteps(const NoiseSchedule& schedule, SolverKind solver) {
  int steps = schedule.num_train_timesteps();
  while (steps > 0 && !MakeStepPlan(schedule, solver, steps).ok()) --steps;
  return steps;
}

}  // namespace ilf
