#include "engine/sampling/dpm_solver_pp.h"

#include <cmath>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "engine/sampling/prediction.h"

namespace ilf {
namespace {

// Plans of fewer steps end at first order under lower_order_final.
constexpr int kFewSteps = 15;

// A noise level: x = signal * x0 + noise * n.
struct Level {
  double signal = 1.0;
  double noise = 0.0;
  double log_snr = 0.0;  // log(signal / noise), infinite without noise
};

Level LevelOf(double sigma) {
  const double signal = 1.0 / std::sqrt(sigma * sigma + 1.0);
  return {signal, sigma * signal, -std::log(sigma)};
}

// The levels between which the steps go: one more than there are steps.
std::vector<Level> LevelsOf(const NoiseSchedule& schedule, absl::Span<const NoiseLevel> starts) {
  std::vector<Level> levels;
  levels.reserve(starts.size() + 1);
  for (const NoiseLevel& start : starts) levels.push_back(LevelOf(start.sigma));
  const bool to_zero = schedule.config().final_sigmas_type == FinalSigmas::kZero;
  levels.push_back(LevelOf(to_zero ? 0.0 : schedule.SigmaAt(0)));
  return levels;
}

bool IsFirstOrder(const NoiseScheduleConfig& config, int index, int steps) {
  if (config.solver_order == 1 || index == 0) return true;
  if (index != steps - 1) return false;
  return config.euler_at_final || (config.lower_order_final && steps < kFewSteps) ||
         config.final_sigmas_type == FinalSigmas::kZero;
}

PlannedStep FirstOrderStep(PredictionType type, double timestep, const Level& from,
                           const Level& to) {
  const LinearMap predicted_x0 = PredictedX0(type, from.signal, from.noise);
  PlannedStep step;
  step.timestep = timestep;
  step.p = predicted_x0.of_x;
  step.q = predicted_x0.of_output;
  step.a = to.noise / from.noise;
  step.b = -to.signal * std::expm1(from.log_snr - to.log_snr);
  return step;
}

// Adds what the change of x0 since `before` says about its change until `to`; nothing where the
// levels coincide.
void RaiseToSecondOrder(SolverType type, const Level& before, const Level& from, const Level& to,
                        PlannedStep& step) {
  const double h = to.log_snr - from.log_snr;
  if (h == 0) return;
  const double weight =
      type == SolverType::kMidpoint ? 0.5 * step.b : to.signal * (std::expm1(-h) / h + 1.0);
  const double slope = weight * h / (from.log_snr - before.log_snr);
  step.b += slope;
  step.c = -slope;
}

}  // namespace

absl::StatusOr<StepPlan> DpmSolverPpPlan(const NoiseSchedule& schedule, int steps) {
  if (schedule.config().solver_order > 2) {
    return absl::UnimplementedError(absl::StrCat("DPM-Solver++ of solver_order ",
                                                 schedule.config().solver_order, " (1 and 2 are)"));
  }
  ILF_ASSIGN_OR_RETURN(const std::vector<NoiseLevel> starts, SpacedLevels(schedule, steps));
  return DpmSolverPpPlanFrom(schedule, starts);
}

StepPlan DpmSolverPpPlanFrom(const NoiseSchedule& schedule, absl::Span<const NoiseLevel> starts,
                             const std::set<int>& without_history) {
  const NoiseScheduleConfig& config = schedule.config();
  const std::vector<Level> levels = LevelsOf(schedule, starts);
  const int steps = static_cast<int>(starts.size());
  StepPlan plan;
  plan.steps.reserve(steps);
  for (int i = 0; i < steps; ++i) {
    PlannedStep step =
        FirstOrderStep(config.prediction_type, starts[i].timestep, levels[i], levels[i + 1]);
    const bool has_history = !without_history.contains(i) && !without_history.contains(i - 1);
    if (has_history && !IsFirstOrder(config, i, steps)) {
      RaiseToSecondOrder(config.solver_type, levels[i - 1], levels[i], levels[i + 1], step);
    }
    plan.steps.push_back(step);
  }
  return plan;
}

}  // namespace ilf
