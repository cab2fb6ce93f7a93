#include "engine/sampling/euler.h"

#include <cmath>
#include <vector>

#include "engine/base/status_macros.h"
#include "engine/sampling/level_spacing.h"
#include "engine/sampling/prediction.h"

namespace ilf {
namespace {

// From the noise `from.sigma` to `to_sigma` along (x - x0) / sigma.
PlannedStep EulerStep(PredictionType type, const NoiseLevel& from, double to_sigma) {
  const double signal = 1.0 / std::sqrt(from.sigma * from.sigma + 1.0);
  const LinearMap predicted_x0 = PredictedX0(type, signal, from.sigma * signal);
  PlannedStep step;
  step.timestep = from.timestep;
  step.c_in = signal;
  step.p = predicted_x0.of_x * signal;
  step.q = predicted_x0.of_output;
  step.a = to_sigma / from.sigma;
  step.b = 1.0 - step.a;
  return step;
}

}  // namespace

absl::StatusOr<StepPlan> EulerPlan(const NoiseSchedule& schedule, int steps) {
  const NoiseScheduleConfig& config = schedule.config();
  ILF_ASSIGN_OR_RETURN(const std::vector<NoiseLevel> starts, EulerLevels(schedule, steps));
  const bool to_zero = config.final_sigmas_type == FinalSigmas::kZero;
  StepPlan plan;
  plan.steps.reserve(starts.size());
  for (size_t i = 0; i < starts.size(); ++i) {
    const double last = to_zero ? 0.0 : schedule.SigmaAt(0);
    const double next = i + 1 < starts.size() ? starts[i + 1].sigma : last;
    plan.steps.push_back(EulerStep(config.prediction_type, starts[i], next));
  }
  // diffusers counts the picture's own variance for leading spacing only.
  const double highest = starts.front().sigma;
  plan.initial_noise_scale = config.timestep_spacing == TimestepSpacing::kLeading
                                 ? std::sqrt(highest * highest + 1.0)
                                 : highest;
  return plan;
}

}  // namespace ilf
