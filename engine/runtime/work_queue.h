// What the workers share: the images that wait, who takes which, what steps cost, and the watchdog.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "engine/api/engine.h"
#include "engine/api/generation.h"
#include "engine/api/observer.h"
#include "engine/base/clock.h"
#include "engine/batching/admission_queue.h"
#include "engine/batching/cost_model.h"
#include "engine/runtime/engine_options.h"
#include "engine/runtime/running_request.h"

namespace ilf {

struct TakenImage {
  std::shared_ptr<RunningRequest> request;
  int image_index = 0;
};

// What CostModel::AddStep is told.
struct StepCost {
  absl::string_view key;
  int rows = 0;
  absl::Duration took;
};

// Thread-safe: the front of AdmissionQueue and CostModel. Calls no method of a request that takes a
// lock.
class WorkQueue {
 public:
  WorkQueue(const EngineOptions& options, int workers, const Clock* clock, Observer* observer);

  // ---- For those who bring work.

  // RESOURCE_EXHAUSTED, DEADLINE_EXCEEDED, UNAVAILABLE (closed): as Engine::Submit.
  absl::StatusOr<QueuedEvent> Admit(std::shared_ptr<RunningRequest> request);
  // Forgets what still waits of a request that has ended, and wakes the workers that hold images of
  // it.
  void Remove(RequestHandle handle);
  void Close();  // refuses new requests from now on
  absl::Duration RetryDelay() const;
  bool Healthy() const;

  // ---- For worker `worker`.

  // The next image, counted as active on `worker` until Left(). Nothing when none waits, when the
  // worker has its fair share of all images, or when it is full.
  std::optional<TakenImage> Take(int worker);
  void Left(int worker);
  // Removes the requests that can no longer meet their deadline; the caller ends them.
  std::vector<std::shared_ptr<RunningRequest>> TakeLate();

  // A call into the worker's device begins, ends: what the watchdog watches.
  void CallBegan(int worker);
  void CallEnded(int worker);

  // The worker's device has failed; see EngineOptions::max_failures.
  void AddFailure(int worker);

  // Measurements for the estimates; see CostModel. A step ends the worker's failures in a row.
  void AddStep(int worker, const std::vector<StepCost>& costs);
  void AddDecode(absl::string_view cost_key, absl::Duration took);
  void AddRun(absl::Duration took);

  // ---- Waiting. A worker asks for the epoch, looks for work, and if there is none awaits the next
  // epoch.

  uint64_t Epoch() const;
  void AwaitEpochAfter(uint64_t epoch) const;
  void Wake();  // begins a new epoch
  void Stop();  // workers are to return
  bool Stopped() const;

 private:
  struct Worker {
    int active = 0;
    absl::Time call_began = absl::InfiniteFuture();
    int failures = 0;  // in a row
    absl::Time rests_until = absl::InfinitePast();
  };

  bool Stuck(const Worker& worker, absl::Time now) const;
  bool Failing(const Worker& worker) const { return worker.failures >= options_.max_failures; }
  int FairShare(int worker, absl::Time now) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  PoolLoad Load(absl::Time now) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const EngineOptions options_;
  const Clock* const clock_;
  Observer* const observer_;

  mutable absl::Mutex mutex_;
  AdmissionQueue queue_ ABSL_GUARDED_BY(mutex_);
  CostModel costs_ ABSL_GUARDED_BY(mutex_);
  std::vector<Worker> workers_ ABSL_GUARDED_BY(mutex_);
  // Those with images in queue_.
  absl::flat_hash_map<RequestHandle, std::shared_ptr<RunningRequest>> waiting_
      ABSL_GUARDED_BY(mutex_);
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  uint64_t epoch_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace ilf
