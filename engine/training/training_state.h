// A training run on disk.
#pragma once

#include <cstdint>
#include <string>

#include <ATen/core/Tensor.h>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/training/parameter_set.h"

namespace ilf {

struct TrainingState {
  int64_t step = 0;           // steps done
  at::Tensor weights;         // flat, float32 (ParameterSet)
  at::Tensor average;         // EMA
  at::Tensor exp_avg;         // AdamW's first moment
  at::Tensor exp_avg_sq;      // AdamW's second moment
  std::string run = {};       // TrainingTask::run
  NamedTensors buffers = {};  // TrainingTask::buffers
};

absl::Status SaveTrainingState(const std::string& file, const TrainingState& state);

// NOT_FOUND when there is no file; INVALID_ARGUMENT when it belongs to a model of another size, or
// tells another `run`. Buffers that it lacks (a run whose loss had no need of them) are as in
// `buffers`, whose shapes the others have.
absl::StatusOr<TrainingState> LoadTrainingState(const std::string& file, const std::string& run,
                                                int64_t parameters, const NamedTensors& buffers);

}  // namespace ilf
