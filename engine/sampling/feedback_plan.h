// Step plans that are given as data: timesteps, coefficients, and which steps run feedback.
#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "engine/sampling/noise_schedule.h"
#include "engine/sampling/solver.h"
#include "engine/sampling/step_plan.h"

namespace ilf {

struct FeedbackStep {
  int step = 0;                  // position in the plan, from 0
  double target_timestep = 0.0;  // what the pass aims at
};

// What the update x' = a x + b x0 + c x0_previous of one step multiplies with.
struct UpdateCoefficients {
  double a = 0.0;
  double b = 0.0;
  double c = 0.0;
};

// A plan as data: what a feedback module was trained for.
struct FeedbackPlan {
  int steps = 0;
  SolverKind solver = SolverKind::kDpmSolverPp2m;
  std::vector<double> timesteps =
      {};  // where the steps start, falling; empty: as the schedule spaces them
  std::vector<UpdateCoefficients> coefficients =
      {};  // fitted ones in place of DPM-Solver++'s; empty: the solver's
  std::vector<FeedbackStep> feedback = {};  // by step, rising; empty: a plain plan
  // Whether the x0 of a feedback step takes part in the solver's history, as a plain step's does.
  // If not, it and the step after it are of first order, and fitted coefficients must say so.
  bool feedback_in_history = true;
};

// The steps of `plan`. The update applies the output of a feedback pass to x_t, as it does that of
// a plain one. INVALID_ARGUMENT where the solver is Euler, whose latents no module was trained for,
// or says what is out of range or out of order; otherwise MakeStepPlan's
// errors.
absl::StatusOr<StepPlan> MakeFeedbackStepPlan(const NoiseSchedule& schedule,
                                              const FeedbackPlan& plan);

// Lets each feedback step of `plan` aim at where the next step of `starts`, the timesteps of all
// steps, begins, the last one at 0.
void AimAtNextStep(const std::vector<double>& starts, FeedbackPlan& plan);

}  // namespace ilf
