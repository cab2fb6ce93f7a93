// A sink that keeps everything it is told.
#pragma once

#include <atomic>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "engine/api/engine.h"

namespace ilf {

// Thread-safe. Ends the process when the engine breaks the rules of EventSink: two calls at once,
// or a call after OnDone.
class RecordingSink final : public EventSink {
 public:
  void OnEvent(Event event) override;
  void OnDone(absl::Status status) override;

  std::vector<Event> events() const;
  template <typename T>
  std::vector<T> EventsOf() const;
  // Step numbers of the previews so far, in order.
  std::vector<int> PreviewSteps() const;

  bool done() const;
  absl::Status status() const;  // of OnDone, which has come
  // Waits for OnDone; false when it has not come within a minute of real time.
  bool AwaitDone() const;

 private:
  std::atomic<bool> in_call_{false};
  mutable absl::Mutex mutex_;
  std::vector<Event> events_ ABSL_GUARDED_BY(mutex_);
  bool done_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
};

template <typename T>
std::vector<T> RecordingSink::EventsOf() const {
  std::vector<T> found;
  for (Event& event : events()) {
    if (T* wanted = std::get_if<T>(&event)) found.push_back(std::move(*wanted));
  }
  return found;
}

}  // namespace ilf
