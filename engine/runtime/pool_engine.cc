#include "engine/runtime/pool_engine.h"

#include <string>
#include <utility>

#include "engine/base/check.h"
#include "engine/base/status_macros.h"
#include "engine/batching/cost_model.h"

namespace ilf {

PoolEngine::PoolEngine(const EngineOptions& options, EngineParts parts)
    : models_(std::move(parts.models)),
      clock_(parts.clock),
      observer_(parts.observer),
      runners_(std::move(parts.runners)),
      work_(options, static_cast<int>(runners_.size()), clock_, observer_),
      executor_(std::move(parts.executor)) {
  for (int i = 0; i < static_cast<int>(runners_.size()); ++i) {
    StepRunner* const runner = runners_[i].get();
    auto core = std::make_unique<WorkerCore>(
        i, options, WorkerCore::Parts{runner, executor_.get(), clock_, observer_, &work_});
    workers_.push_back(std::make_unique<Worker>(std::move(core), runner, &work_));
  }
}

PoolEngine::~PoolEngine() {
  work_.Close();
  EndAll();
  work_.Stop();
  for (const auto& worker : workers_) worker->Join();
  executor_.reset();  // its tasks use the workers
}

void PoolEngine::Start() {
  for (const auto& worker : workers_) worker->Start();
}

absl::StatusOr<RequestHandle> PoolEngine::Submit(GenerationRequest request,
                                                 std::shared_ptr<EventSink> sink) {
  Check(request.image_count >= 1 && request.steps >= 1, "the request is validated");
  const RequestHandle handle = next_handle_.fetch_add(1, std::memory_order_relaxed);
  // The queue forgets a request before the table does: an empty table means that nothing is left.
  const auto ended = [this](RequestHandle over) {
    work_.Remove(over);
    requests_.Remove(over);
  };
  std::string cost_key =
      CostKey(request.model, runners_.front()->TokensPerRow(request), request.acceleration);
  const auto running = std::make_shared<RunningRequest>(
      handle, std::move(request), std::move(cost_key), std::move(sink),
      RunningRequest::Listeners{clock_, observer_, ended});
  ILF_RETURN_IF_ERROR(running->Admit([&]() -> absl::StatusOr<QueuedEvent> {
    requests_.Add(running);
    absl::StatusOr<QueuedEvent> queued = work_.Admit(running);
    if (!queued.ok()) requests_.Remove(handle);
    return queued;
  }));
  return handle;
}

void PoolEngine::Cancel(RequestHandle request, const absl::Status& why) {
  const std::shared_ptr<RunningRequest> running = requests_.Find(request);
  if (running != nullptr) running->End(why);
}

void PoolEngine::Drain(absl::Time deadline) {
  work_.Close();
  if (!requests_.AwaitEmpty(deadline - clock_->Now())) EndAll();
}

void PoolEngine::EndAll() {
  for (const auto& request : requests_.All()) {
    request->End(absl::UnavailableError("the server is shutting down"));
  }
}

std::unique_ptr<Engine> MakeEngine(const EngineOptions& options, EngineParts parts) {
  auto engine = std::make_unique<PoolEngine>(options, std::move(parts));
  engine->Start();
  return engine;
}

}  // namespace ilf
