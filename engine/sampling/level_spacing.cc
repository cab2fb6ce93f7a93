#include "engine/sampling/level_spacing.h"

#include <cmath>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "engine/sampling/timesteps.h"

namespace ilf {
namespace {

constexpr double kKarrasRho = 7.0;

// Timesteps are dropped from the noisy end.
int UsableTimesteps(const NoiseSchedule& schedule) {
  int usable = schedule.num_train_timesteps();
  const double least = schedule.config().lambda_min_clipped;
  while (usable > 1 && -std::log(schedule.SigmaAt(usable - 1)) < least) --usable;
  return usable;
}

absl::StatusOr<std::vector<NoiseLevel>> LevelsByTimestep(const NoiseSchedule& schedule, int steps) {
  ILF_ASSIGN_OR_RETURN(const std::vector<int> timesteps,
                       SpacedTimesteps(schedule.config(), SpacingRule::kDpmSolver,
                                       UsableTimesteps(schedule), steps));
  return LevelsAt(schedule, {timesteps.begin(), timesteps.end()});
}

// Between the first and the last level, in equal parts.
double Between(double first, double last, int index, int steps) {
  return steps == 1 ? first : first + index * (last - first) / (steps - 1);
}

double SpacedSigma(LevelSpacing spacing, double highest, double lowest, int index, int steps) {
  if (spacing == LevelSpacing::kLogSnr) {
    return std::exp(Between(std::log(highest), std::log(lowest), index, steps));
  }
  return std::pow(
      Between(std::pow(highest, 1 / kKarrasRho), std::pow(lowest, 1 / kKarrasRho), index, steps),
      kKarrasRho);
}

// numpy's linspace(0, last, steps) in float32, from the last value down.
std::vector<double> FallingLinspace(int last, int steps) {
  std::vector<double> values(steps, 0.0);
  for (int i = 0; i + 1 < steps; ++i) {
    const double step = static_cast<double>(last) / (steps - 1);
    values[i] = i == 0 ? last : static_cast<float>((steps - 1 - i) * step);
  }
  return values;
}

absl::StatusOr<std::vector<double>> EulerTimesteps(const NoiseScheduleConfig& config, int steps) {
  // Checks the number of steps, too.
  ILF_ASSIGN_OR_RETURN(
      const std::vector<int> timesteps,
      SpacedTimesteps(config, SpacingRule::kDdim, config.num_train_timesteps, steps));
  if (config.timestep_spacing == TimestepSpacing::kLinspace) {
    return FallingLinspace(config.num_train_timesteps - 1, steps);
  }
  return std::vector<double>(timesteps.begin(), timesteps.end());
}

}  // namespace

absl::StatusOr<std::vector<NoiseLevel>> SpacedLevels(const NoiseSchedule& schedule, int steps) {
  const NoiseScheduleConfig& config = schedule.config();
  if (config.level_spacing == LevelSpacing::kByTimestep) return LevelsByTimestep(schedule, steps);
  const int last = schedule.num_train_timesteps() - 1;
  if (steps < 1 || steps > last + 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("steps must be 1 to ", last + 1, ", got ", steps));
  }
  std::vector<NoiseLevel> levels;
  levels.reserve(steps);
  for (int i = 0; i < steps; ++i) {
    const double sigma =
        SpacedSigma(config.level_spacing, schedule.SigmaAt(last), schedule.SigmaAt(0), i, steps);
    const double timestep = schedule.TimestepAt(sigma);
    // As diffusers, whose timesteps are integers: it rounds, and on the cosine schedule cuts off.
    const bool cuts = config.beta_schedule == BetaSchedule::kSquaredCosCapV2;
    levels.push_back({cuts ? std::trunc(timestep) : std::nearbyint(timestep), sigma});
  }
  return levels;
}

absl::StatusOr<std::vector<NoiseLevel>> EulerLevels(const NoiseSchedule& schedule, int steps) {
  const NoiseScheduleConfig& config = schedule.config();
  ILF_ASSIGN_OR_RETURN(const std::vector<double> timesteps, EulerTimesteps(config, steps));
  std::vector<NoiseLevel> levels = LevelsAt(schedule, timesteps);
  if (config.level_spacing != LevelSpacing::kKarras) return levels;
  const double highest = levels.front().sigma;
  const double lowest = levels.back().sigma;
  for (int i = 0; i < steps; ++i) {
    const double sigma = SpacedSigma(LevelSpacing::kKarras, highest, lowest, i, steps);
    levels[i] = {schedule.TimestepAt(sigma), sigma};
  }
  return levels;
}

std::vector<NoiseLevel> LevelsAt(const NoiseSchedule& schedule,
                                 const std::vector<double>& timesteps) {
  std::vector<NoiseLevel> levels;
  levels.reserve(timesteps.size());
  for (const double timestep : timesteps) levels.push_back({timestep, schedule.SigmaAt(timestep)});
  return levels;
}

}  // namespace ilf
