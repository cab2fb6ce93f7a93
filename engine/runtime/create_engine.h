// Puts an engine together: loads the models, makes a worker for each device, starts them.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/api/engine.h"
#include "engine/api/observer.h"
#include "engine/runtime/engine_options.h"

namespace ilf {

struct CreateEngineOptions {
  std::string model_root;                           // every model directory under it is served
  std::vector<std::string> devices = {"cpu"};       // one worker each: "cpu" or "cuda:N"
  int threads_per_worker = 0;                       // of CPU workers; 0 = cores / CPU workers
  std::string dtype = "auto";                       // "auto", "float32" or "bfloat16"
  int64_t prompt_cache_bytes = int64_t{256} << 20;  // of each model that reads text, on each device
  // They decode and encode what the workers have finished; 0 = one, without a GPU as many as
  // workers but at least two: there small pictures are decoded by one math thread each, and a
  // worker that waits for its next images gets them sooner. Each holds the memory of a decode,
  // which on a GPU is the scarce one.
  int finisher_threads = 0;
  EngineOptions engine;
};

// Blocks while it loads. An error is one line that names the file or device and the reason.
// `observer` outlives the engine.
absl::StatusOr<std::unique_ptr<Engine>> CreateEngine(const CreateEngineOptions& options,
                                                     Observer* observer);

}  // namespace ilf
