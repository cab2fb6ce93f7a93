// One request from Submit to its end: the only way to its sink.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "engine/api/engine.h"
#include "engine/api/generation.h"
#include "engine/api/observer.h"
#include "engine/base/clock.h"

namespace ilf {

// Thread-safe. Serialises the events of its images, sends OnDone exactly once, and passes nothing
// on afterwards. Shared by the workers and executor tasks that hold an image of it.
class RunningRequest {
 public:
  // What it reports to; all must outlive it. `ended` is called once, after OnDone and without
  // locks.
  struct Listeners {
    const Clock* clock = nullptr;
    Observer* observer = nullptr;
    std::function<void(RequestHandle)> ended;
  };

  // `cost_key`: CostKey() of its images.
  RunningRequest(RequestHandle handle, GenerationRequest request, std::string cost_key,
                 std::shared_ptr<EventSink> sink, Listeners listeners);
  RunningRequest(const RunningRequest&) = delete;
  RunningRequest& operator=(const RunningRequest&) = delete;

  RequestHandle handle() const { return handle_; }
  const GenerationRequest& request() const { return request_; }
  const std::string& cost_key() const { return cost_key_; }
  absl::Time submitted() const { return submitted_; }

  // Runs `admit`, which makes the request known to others, and sends the event it returns before
  // any other. Where it fails the request is over, and the sink is never called.
  absl::Status Admit(absl::FunctionRef<absl::StatusOr<QueuedEvent>()> admit);

  // True once OnDone is on its way: the request's images are to leave.
  bool Ended() const { return ended_.load(std::memory_order_acquire); }

  // A worker took up one of its images; the first of them sends StartedEvent.
  void Taken();
  void Stepped(const StepEvent& step);

  // At most one preview of an image is on its way at any time. StartPreview asks for the way; true
  // obliges to call FinishPreview, with the preview or with why there is none. A preview that is
  // done after its image is dropped.
  bool StartPreview(int image_index);
  void FinishPreview(const StepEvent& step, absl::StatusOr<EncodedImage> preview);

  // Delivers an image; the last one completes the request.
  void ImageDone(ImageEvent image);

  // Ends the request early. No effect once it has ended.
  void End(const absl::Status& status);

 private:
  struct Image {
    bool preview_under_way = false;
    bool done = false;
  };

  // Sends OnDone and lets go of the sink, which the caller releases after the lock.
  std::shared_ptr<EventSink> Close(const absl::Status& status)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const RequestHandle handle_;
  const GenerationRequest request_;
  const std::string cost_key_;
  const Listeners listeners_;
  const absl::Time submitted_;

  std::atomic<bool> ended_{false};  // written under mutex_
  absl::Mutex mutex_;
  std::shared_ptr<EventSink> sink_ ABSL_GUARDED_BY(mutex_);  // null once ended
  std::vector<Image> images_ ABSL_GUARDED_BY(mutex_);
  int images_done_ ABSL_GUARDED_BY(mutex_) = 0;
  bool started_ ABSL_GUARDED_BY(mutex_) = false;
  bool preview_sent_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace ilf
