// An engine that does what the test says.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "engine/api/engine.h"

namespace ilf {

// Thread-safe. A cancelled request ends at once, Drain ends what is left with
// UNAVAILABLE.
class ScriptedEngine final : public Engine {
 public:
  struct Submission {
    RequestHandle handle = 0;
    GenerationRequest request;
    std::shared_ptr<EventSink> sink;
  };

  explicit ScriptedEngine(std::vector<ModelInfo> models) : models_(std::move(models)) {}

  // The next request that comes in; ends the process when none comes within a minute.
  Submission AwaitSubmission() ABSL_LOCKS_EXCLUDED(mutex_);
  // Waits until so many requests have been cancelled; false when that takes a minute.
  bool AwaitCancelled(int requests) ABSL_LOCKS_EXCLUDED(mutex_);
  // Waits until Drain has been called; false when that takes a minute.
  bool AwaitDraining() ABSL_LOCKS_EXCLUDED(mutex_);

  // Ends the request, which then no longer counts as running.
  void End(const Submission& submission, absl::Status status) ABSL_LOCKS_EXCLUDED(mutex_);

  // Every Submit is refused with `status` from now on.
  void Refuse(absl::Status status) ABSL_LOCKS_EXCLUDED(mutex_);
  void SetHealthy(bool healthy) ABSL_LOCKS_EXCLUDED(mutex_);

  const std::vector<ModelInfo>& Models() const override { return models_; }
  absl::StatusOr<RequestHandle> Submit(GenerationRequest request,
                                       std::shared_ptr<EventSink> sink) override;
  void Cancel(RequestHandle request, const absl::Status& why) override;
  absl::Duration RetryDelay() const override { return absl::Milliseconds(1250); }
  // Waits for the running requests to end, or for `deadline`.
  void Drain(absl::Time deadline) override;
  bool Healthy() const override;

 private:
  // Takes `request` off the running ones; null when it does not run.
  std::shared_ptr<EventSink> TakeSink(RequestHandle request) ABSL_LOCKS_EXCLUDED(mutex_);

  const std::vector<ModelInfo> models_;
  mutable absl::Mutex mutex_;
  std::deque<Submission> waiting_ ABSL_GUARDED_BY(mutex_);  // for AwaitSubmission
  std::vector<std::pair<RequestHandle, std::shared_ptr<EventSink>>> running_
      ABSL_GUARDED_BY(mutex_);
  RequestHandle last_handle_ ABSL_GUARDED_BY(mutex_) = 0;
  int cancelled_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Status refusal_ ABSL_GUARDED_BY(mutex_);
  bool healthy_ ABSL_GUARDED_BY(mutex_) = true;
  bool draining_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace ilf
