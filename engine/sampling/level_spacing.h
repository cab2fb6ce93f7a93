// The noise levels at which the steps of DPM-Solver++ and of Euler start, by diffusers' spacing
// rules.
#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "engine/sampling/noise_schedule.h"

namespace ilf {

// Where a step starts.
struct NoiseLevel {
  double timestep = 0.0;  // what the model is told
  double sigma = 0.0;     // noise per signal; not always that of `timestep`, which may be rounded
};

// The levels of `steps` steps of DPM-Solver++, noise falling. Failures are SpacedTimesteps'.
absl::StatusOr<std::vector<NoiseLevel>> SpacedLevels(const NoiseSchedule& schedule, int steps);

// The same for Euler. Timesteps are fractions with linspace and with Karras spacing, which here
// lies between the first and the last level of the spacing by timestep. log(signal / noise)
// spacing, which Euler does not have, is by timestep.
absl::StatusOr<std::vector<NoiseLevel>> EulerLevels(const NoiseSchedule& schedule, int steps);

// The levels of given timesteps, in their order; each in [0, num_train_timesteps - 1].
std::vector<NoiseLevel> LevelsAt(const NoiseSchedule& schedule,
                                 const std::vector<double>& timesteps);

}  // namespace ilf
