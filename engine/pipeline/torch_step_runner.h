// The StepRunner that does the mathematics with LibTorch. This header includes none of it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/api/model_info.h"
#include "engine/api/observer.h"
#include "engine/api/step_runner.h"

namespace ilf {

struct TorchRunnerOptions {
  std::string model_root;            // each folder in it that has a model_index.json is served
  std::vector<std::string> devices;  // "cpu", "cuda:0", ...: one runner each
  int threads_per_runner = 1;        // math threads of a CPU runner
  std::string dtype = "auto";        // "auto", "float32", "bfloat16"
  bool batch_invariant = true;       // off only to measure what it costs
  int64_t prompt_cache_bytes = int64_t{256} << 20;  // of a model that reads text, on each device
  Observer* observer = nullptr;  // told of prompts; may be null, else outlives the runners
};

struct TorchRunners {
  std::vector<ModelInfo> models;
  std::vector<std::unique_ptr<StepRunner>> runners;  // as many as devices
};

// Loads every model once for each distinct device. An error is one line that names the folder, file
// or device and the reason: INVALID_ARGUMENT, NOT_FOUND (no model at all).
absl::StatusOr<TorchRunners> MakeTorchRunners(const TorchRunnerOptions& options);

}  // namespace ilf
