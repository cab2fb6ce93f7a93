// Solvers as coefficient tables.
#pragma once

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/sampling/noise_schedule.h"
#include "engine/sampling/step_plan.h"

namespace ilf {

enum class SolverKind { kDdim, kDpmSolverPp2m, kEuler };

// "ddim", "dpmsolver++", "euler".
absl::string_view SolverKindName(SolverKind solver);

// What diffusers takes for the keys that a scheduler_config.json of this solver's class leaves out
// (DDIMScheduler, DPMSolverMultistepScheduler, EulerDiscreteScheduler). The start of reading such a
// file.
NoiseScheduleConfig DefaultConfigOf(SolverKind solver);

// The plan that diffusers' scheduler of this kind follows. Pure: equal arguments give equal plans.
//
// A solver may be asked for on a schedule whose file names another one. As with diffusers'
// from_config it then keeps the file's betas, prediction type, spacing and steps_offset, and its
// own fields at their defaults. DPM-Solver++ and Euler share Karras spacing and final_sigmas_type;
// Euler has neither log(signal / noise) spacing nor lambda_min_clipped, and spaces by timestep.
// They never clip; DDIM clips where the config says so, and a config made for one of them
// (DefaultConfigOf) does not.
//
// INVALID_ARGUMENT: `steps` < 1, or so many (or steps_offset so large) that the spacing would
// repeat a timestep or leave the schedule. UNIMPLEMENTED, for DPM-Solver++ only: a solver_order
// above 2, or trailing spacing together with a lambda_min_clipped that bites.
absl::StatusOr<StepPlan> MakeStepPlan(const NoiseSchedule& schedule, SolverKind solver, int steps);

// The largest number of steps that MakeStepPlan accepts; 0 when it accepts none.
int MaxSteps(const NoiseSchedule& schedule, SolverKind solver);

}  // namespace ilf
