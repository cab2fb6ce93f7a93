// Which training timesteps a plan visits: diffusers' spacing rules, to the integer.
#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "engine/sampling/noise_schedule.h"

namespace ilf {

// The rules differ: DDIM's (and Euler's) linspace and leading spacing include timestep 0 (plus the
// offset), while DPM-Solver lays out one timestep more and drops the lowest.
enum class SpacingRule { kDdim, kDpmSolver };

// `steps` of the first `usable` timesteps (1 to num_train_timesteps), strictly falling.
// INVALID_ARGUMENT when they cannot be had; UNIMPLEMENTED for trailing spacing of a part.
//
// For some numbers of steps a rounding error in numpy's arange gives diffusers' trailing spacing
// one timestep more, -1 at the end; this has none of those.
absl::StatusOr<std::vector<int>> SpacedTimesteps(const NoiseScheduleConfig& config,
                                                 SpacingRule rule, int usable, int steps);

}  // namespace ilf
