// Reads a noise schedule and its solver from diffusers' scheduler_config.json.
#pragma once

#include "absl/status/statusor.h"
#include "engine/checkpoint/json_config.h"
#include "engine/sampling/noise_schedule.h"
#include "engine/sampling/solver.h"

namespace ilf {

struct SchedulerConfig {
  NoiseScheduleConfig schedule;
  SolverKind default_solver = SolverKind::kDdim;  // what _class_name names
};

// INVALID_ARGUMENT names the file, the key and the value that is wrong or that we cannot do
// (another scheduler class, dynamic thresholding, exponential sigmas, ...).
absl::StatusOr<SchedulerConfig> ReadSchedulerConfig(const JsonConfig& json);

}  // namespace ilf
