#include "engine/sampling/feedback_plan.h"

#include <cmath>
#include <set>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "engine/sampling/ddim.h"
#include "engine/sampling/dpm_solver_pp.h"
#include "engine/sampling/level_spacing.h"

namespace ilf {
namespace {

absl::Status CheckTimesteps(const FeedbackPlan& plan, int last) {
  if (plan.timesteps.empty()) return absl::OkStatus();
  if (static_cast<int>(plan.timesteps.size()) != plan.steps) {
    return absl::InvalidArgumentError(absl::StrCat("timesteps must be as many as steps, ",
                                                   plan.steps, ", are ", plan.timesteps.size()));
  }
  double before = last + 1.0;
  for (const double timestep : plan.timesteps) {
    if (!(timestep >= 0 && timestep <= last && timestep < before)) {
      return absl::InvalidArgumentError(
          absl::StrCat("timesteps must fall from at most ", last, " to at least 0"));
    }
    before = timestep;
  }
  return absl::OkStatus();
}

absl::Status CheckCoefficients(const FeedbackPlan& plan) {
  if (plan.coefficients.empty()) return absl::OkStatus();
  if (plan.solver != SolverKind::kDpmSolverPp2m) {
    return absl::InvalidArgumentError("coefficients can only replace those of dpmsolver++");
  }
  if (static_cast<int>(plan.coefficients.size()) != plan.steps) {
    return absl::InvalidArgumentError(absl::StrCat("coefficients must be as many as steps, ",
                                                   plan.steps, ", are ", plan.coefficients.size()));
  }
  for (const UpdateCoefficients& step : plan.coefficients) {
    if (!std::isfinite(step.a) || !std::isfinite(step.b) || !std::isfinite(step.c)) {
      return absl::InvalidArgumentError("coefficients must be finite numbers");
    }
  }
  if (plan.coefficients.front().c != 0.0) {
    return absl::InvalidArgumentError(
        absl::StrCat("coefficients: the first step has no x0 before it, so its c must be 0, is ",
                     plan.coefficients.front().c));
  }
  return absl::OkStatus();
}

absl::Status CheckFeedback(const FeedbackPlan& plan, int last) {
  int before = -1;
  for (const FeedbackStep& feedback : plan.feedback) {
    if (feedback.step <= before || feedback.step >= plan.steps) {
      return absl::InvalidArgumentError(
          absl::StrCat("feedback_steps must rise from at least 0 to at most ", plan.steps - 1,
                       ", one is ", feedback.step));
    }
    if (!(feedback.target_timestep >= 0 && feedback.target_timestep <= last)) {
      return absl::InvalidArgumentError(absl::StrCat("target_timesteps must be 0 to ", last,
                                                     ", one is ", feedback.target_timestep));
    }
    before = feedback.step;
  }
  return absl::OkStatus();
}

// Coefficients say themselves what of the history takes part.
absl::Status CheckHistory(const FeedbackPlan& plan) {
  if (plan.feedback_in_history || plan.coefficients.empty()) return absl::OkStatus();
  for (const FeedbackStep& feedback : plan.feedback) {
    for (const int step : {feedback.step, feedback.step + 1}) {
      if (step < plan.steps && plan.coefficients[step].c != 0.0) {
        return absl::InvalidArgumentError(
            absl::StrCat("feedback_in_history is false: c of coefficients must be 0 at step ", step,
                         ", is ", plan.coefficients[step].c));
      }
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<NoiseLevel>> Starts(const NoiseSchedule& schedule,
                                               const FeedbackPlan& plan) {
  if (!plan.timesteps.empty()) return LevelsAt(schedule, plan.timesteps);
  return SpacedLevels(schedule, plan.steps);
}

absl::StatusOr<StepPlan> WithoutFeedback(const NoiseSchedule& schedule, const FeedbackPlan& plan) {
  if (plan.solver == SolverKind::kDdim) {
    if (plan.timesteps.empty()) return DdimPlan(schedule, plan.steps);
    return DdimPlanFrom(schedule, LevelsAt(schedule, plan.timesteps));
  }
  std::set<int> without_history;
  for (const FeedbackStep& feedback : plan.feedback) {
    if (!plan.feedback_in_history) without_history.insert(feedback.step);
  }
  ILF_ASSIGN_OR_RETURN(const std::vector<NoiseLevel> starts, Starts(schedule, plan));
  return DpmSolverPpPlanFrom(schedule, starts, without_history);
}

}  // namespace

absl::StatusOr<StepPlan> MakeFeedbackStepPlan(const NoiseSchedule& schedule,
                                              const FeedbackPlan& plan) {
  const int last = schedule.num_train_timesteps() - 1;
  if (plan.steps < 1 || plan.steps > last + 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("steps must be 1 to ", last + 1, ", is ", plan.steps));
  }
  if (plan.solver == SolverKind::kEuler) {
    return absl::InvalidArgumentError(
        "feedback plans are made with ddim or dpmsolver++, not euler");
  }
  ILF_RETURN_IF_ERROR(CheckTimesteps(plan, last));
  ILF_RETURN_IF_ERROR(CheckCoefficients(plan));
  ILF_RETURN_IF_ERROR(CheckFeedback(plan, last));
  ILF_RETURN_IF_ERROR(CheckHistory(plan));
  ILF_ASSIGN_OR_RETURN(StepPlan steps, WithoutFeedback(schedule, plan));
  for (size_t i = 0; i < plan.coefficients.size(); ++i) {
    steps.steps[i].a = plan.coefficients[i].a;
    steps.steps[i].b = plan.coefficients[i].b;
    steps.steps[i].c = plan.coefficients[i].c;
  }
  for (const FeedbackStep& feedback : plan.feedback) {
    steps.steps[feedback.step].pass = PassKind::kFeedback;
    steps.steps[feedback.step].target_timestep = feedback.target_timestep;
  }
  return steps;
}

void AimAtNextStep(const std::vector<double>& starts, FeedbackPlan& plan) {
  for (FeedbackStep& feedback : plan.feedback) {
    const size_t next = static_cast<size_t>(feedback.step) + 1;
    feedback.target_timestep = next < starts.size() ? starts[next] : 0.0;
  }
}

}  // namespace ilf
