#include "engine/sampling/solver.h"

#include "engine/base/check.h"
#include "engine/sampling/ddim.h"
#include "engine/sampling/dpm_solver_pp.h"
#include "engine/sampling/euler.h"

namespace ilf {

absl::string_view SolverKindName(SolverKind solver) {
  switch (solver) {
    case SolverKind::kDdim:
      return "ddim";
    case SolverKind::kDpmSolverPp2m:
      return "dpmsolver++";
    case SolverKind::kEuler:
      return "euler";
  }
  return "unknown";
}

NoiseScheduleConfig DefaultConfigOf(SolverKind solver) {
  NoiseScheduleConfig config;
  if (solver != SolverKind::kDdim) {
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
    case SolverKind::kEuler:
      return EulerPlan(schedule, steps);
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
