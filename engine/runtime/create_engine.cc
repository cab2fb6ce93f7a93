#include "engine/runtime/create_engine.h"

#include <algorithm>
#include <utility>

#include "engine/base/clock.h"
#include "engine/base/host_limits.h"
#include "engine/base/status_macros.h"
#include "engine/base/thread_pool.h"
#include "engine/pipeline/torch_step_runner.h"
#include "engine/runtime/pool_engine.h"

namespace ilf {
namespace {

int CpuWorkers(const CreateEngineOptions& options) {
  return static_cast<int>(std::count(options.devices.begin(), options.devices.end(), "cpu"));
}

int ThreadsPerWorker(const CreateEngineOptions& options) {
  if (options.threads_per_worker > 0) return options.threads_per_worker;
  return std::max(1, ReadHostLimits().cpus / std::max(1, CpuWorkers(options)));
}

int FinisherThreads(const CreateEngineOptions& options) {
  if (options.finisher_threads > 0) return options.finisher_threads;
  const int workers = static_cast<int>(options.devices.size());
  return CpuWorkers(options) == workers ? std::max(2, workers) : 1;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Engine>> CreateEngine(const CreateEngineOptions& options,
                                                     Observer* observer) {
  TorchRunnerOptions runner_options;
  runner_options.model_root = options.model_root;
  runner_options.devices = options.devices;
  runner_options.threads_per_runner = ThreadsPerWorker(options);
  runner_options.dtype = options.dtype;
  runner_options.prompt_cache_bytes = options.prompt_cache_bytes;
  runner_options.observer = observer;
  ILF_ASSIGN_OR_RETURN(TorchRunners torch, MakeTorchRunners(runner_options));

  EngineParts parts;
  parts.models = std::move(torch.models);
  parts.runners = std::move(torch.runners);
  StepRunner* const runner = parts.runners.front().get();
  parts.executor =
      std::make_unique<ThreadPool>(FinisherThreads(options), [runner] { runner->PrepareThread(); });
  parts.clock = SystemClock();
  parts.observer = observer;
  return MakeEngine(options.engine, std::move(parts));
}

}  // namespace ilf
