#include "engine/sampling/timesteps.h"

#include <algorithm>
#include <cmath>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace ilf {
namespace {

// Half to even, in the default rounding mode.
int Round(double value) { return static_cast<int>(std::nearbyint(value)); }

// Rounded values of numpy's linspace(0, last, count), rising.
std::vector<int> Linspace(int last, int count) {
  std::vector<int> values(count, 0);
  if (count == 1) return values;
  const double step = static_cast<double>(last) / (count - 1);
  for (int i = 0; i < count - 1; ++i) values[i] = Round(i * step);
  values[count - 1] = last;
  return values;
}

std::vector<int> Leading(int train_timesteps, int count) {
  std::vector<int> values(count);
  for (int i = 0; i < count; ++i) values[i] = i * (train_timesteps / count);
  return values;
}

// numpy's arange(T, 0, -T / steps) adds multiples of the difference between its first two values,
// which decides how ties round.
std::vector<int> TrailingRising(int train_timesteps, int steps) {
  const double total = train_timesteps;
  const double difference = (total - total / steps) - total;
  std::vector<int> values(steps);
  for (int i = 0; i < steps; ++i) values[steps - 1 - i] = Round(total + i * difference) - 1;
  return values;
}

std::vector<int> RisingTimesteps(const NoiseScheduleConfig& config, SpacingRule rule, int usable,
                                 int steps) {
  const int dropped = rule == SpacingRule::kDpmSolver ? 1 : 0;
  std::vector<int> values;
  switch (config.timestep_spacing) {
    case TimestepSpacing::kTrailing:
      return TrailingRising(usable, steps);
    case TimestepSpacing::kLinspace:
      values = Linspace(usable - 1, steps + dropped);
      break;
    case TimestepSpacing::kLeading:
      values = Leading(usable, steps + dropped);
      for (int& value : values) value += config.steps_offset;
      break;
  }
  values.erase(values.begin(), values.begin() + dropped);
  return values;
}

}  // namespace

absl::StatusOr<std::vector<int>> SpacedTimesteps(const NoiseScheduleConfig& config,
                                                 SpacingRule rule, int usable, int steps) {
  if (steps < 1 || steps > config.num_train_timesteps) {
    return absl::InvalidArgumentError(
        absl::StrCat("steps must be 1 to ", config.num_train_timesteps, ", got ", steps));
  }
  if (config.timestep_spacing == TimestepSpacing::kTrailing &&
      usable != config.num_train_timesteps) {
    return absl::UnimplementedError("trailing timestep_spacing with lambda_min_clipped");
  }
  std::vector<int> timesteps = RisingTimesteps(config, rule, usable, steps);
  const bool repeats = std::adjacent_find(timesteps.begin(), timesteps.end()) != timesteps.end();
  if (repeats || timesteps.back() >= config.num_train_timesteps) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the noise schedule of ", config.num_train_timesteps, " timesteps cannot be spaced into ",
        steps, " steps (steps_offset ", config.steps_offset, ")"));
  }
  std::reverse(timesteps.begin(), timesteps.end());
  return timesteps;
}

}  // namespace ilf
