#include "engine/sampling/ddim.h"

#include <cmath>

#include "engine/base/status_macros.h"
#include "engine/sampling/prediction.h"
#include "engine/sampling/timesteps.h"

namespace ilf {
namespace {

PlannedStep DdimStep(const NoiseScheduleConfig& config, double timestep, double alpha_cumprod,
                     double next_alpha_cumprod) {
  const double signal = std::sqrt(alpha_cumprod);
  const double noise = std::sqrt(1.0 - alpha_cumprod);
  const LinearMap predicted_x0 = PredictedX0(config.prediction_type, signal, noise);
  const LinearMap predicted_noise = PredictedNoise(config.prediction_type, signal, noise);
  const double next_noise = std::sqrt(1.0 - next_alpha_cumprod);

  PlannedStep step;
  step.timestep = timestep;
  step.p = predicted_x0.of_x;
  step.q = predicted_x0.of_output;
  if (config.clip_sample) step.clip = config.clip_sample_range;
  step.a = next_noise * predicted_noise.of_x;
  step.b = std::sqrt(next_alpha_cumprod);
  step.e = next_noise * predicted_noise.of_output;
  return step;
}

}  // namespace

absl::StatusOr<StepPlan> DdimPlan(const NoiseSchedule& schedule, int steps) {
  const NoiseScheduleConfig& config = schedule.config();
  ILF_ASSIGN_OR_RETURN(
      const std::vector<int> timesteps,
      SpacedTimesteps(config, SpacingRule::kDdim, config.num_train_timesteps, steps));
  StepPlan plan;
  plan.steps.reserve(steps);
  for (const int timestep : timesteps) {
    const int next = timestep - config.num_train_timesteps / steps;
    const double next_alpha_cumprod =
        next >= 0 ? schedule.AlphaCumprod(next) : schedule.FinalAlphaCumprod();
    plan.steps.push_back(
        DdimStep(config, timestep, schedule.AlphaCumprod(timestep), next_alpha_cumprod));
  }
  return plan;
}

StepPlan DdimPlanFrom(const NoiseSchedule& schedule, absl::Span<const NoiseLevel> starts) {
  const auto alpha_cumprod = [](double sigma) { return 1.0 / (1.0 + sigma * sigma); };
  StepPlan plan;
  plan.steps.reserve(starts.size());
  for (size_t i = 0; i < starts.size(); ++i) {
    const double next =
        i + 1 < starts.size() ? alpha_cumprod(starts[i + 1].sigma) : schedule.FinalAlphaCumprod();
    plan.steps.push_back(
        DdimStep(schedule.config(), starts[i].timestep, alpha_cumprod(starts[i].sigma), next));
  }
  return plan;
}

}  // namespace ilf
