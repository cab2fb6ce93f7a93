// The Engine over a pool of workers, one per device.
#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "engine/api/engine.h"
#include "engine/api/observer.h"
#include "engine/api/step_runner.h"
#include "engine/base/clock.h"
#include "engine/base/executor.h"
#include "engine/runtime/engine_options.h"
#include "engine/runtime/request_table.h"
#include "engine/runtime/work_queue.h"
#include "engine/runtime/worker.h"

namespace ilf {

// What an engine is made of.
struct EngineParts {
  std::vector<ModelInfo> models;                     // every runner serves all of them
  std::vector<std::unique_ptr<StepRunner>> runners;  // one per worker, at least one
  // Encodes previews and decodes finished images. Its threads have called PrepareThread() of a
  // runner; its destructor runs or drops what is scheduled.
  std::unique_ptr<Executor> executor;
  const Clock* clock = nullptr;  // must outlive the engine
  Observer* observer = nullptr;  // must outlive the engine
};

class PoolEngine final : public Engine {
 public:
  PoolEngine(const EngineOptions& options, EngineParts parts);
  // Ends what is left with UNAVAILABLE and joins the workers: waits for the steps that are under
  // way.
  ~PoolEngine() override;
  PoolEngine(const PoolEngine&) = delete;
  PoolEngine& operator=(const PoolEngine&) = delete;

  // Starts a thread for every worker. Once; tests that call RunOnce() leave it out.
  void Start();

  // One turn of a worker, without a thread; see WorkerCore::RunOnce.
  bool RunOnce(int worker) { return workers_[worker]->core().RunOnce(); }

  const std::vector<ModelInfo>& Models() const override { return models_; }
  absl::StatusOr<RequestHandle> Submit(GenerationRequest request,
                                       std::shared_ptr<EventSink> sink) override;
  void Cancel(RequestHandle request, const absl::Status& why) override;
  absl::Duration RetryDelay() const override { return work_.RetryDelay(); }
  void Drain(absl::Time deadline) override;
  bool Healthy() const override { return work_.Healthy(); }

 private:
  void EndAll();

  const std::vector<ModelInfo> models_;
  const Clock* const clock_;
  Observer* const observer_;
  const std::vector<std::unique_ptr<StepRunner>> runners_;
  RequestTable requests_;
  WorkQueue work_;
  std::atomic<RequestHandle> next_handle_{1};
  std::unique_ptr<Executor> executor_;
  std::vector<std::unique_ptr<Worker>> workers_;
};

// A started PoolEngine.
std::unique_ptr<Engine> MakeEngine(const EngineOptions& options, EngineParts parts);

}  // namespace ilf
