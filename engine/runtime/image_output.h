// Previews and finished pictures on their way out: the work that a worker hands to the executor.
#pragma once

#include <atomic>
#include <memory>

#include "absl/time/time.h"
#include "engine/api/generation.h"
#include "engine/api/step_runner.h"
#include "engine/base/clock.h"
#include "engine/base/executor.h"
#include "engine/runtime/running_request.h"
#include "engine/runtime/work_queue.h"

namespace ilf {

// One image while a worker has it.
struct ActiveImage {
  std::shared_ptr<RunningRequest> request;
  int index = 0;  // in its request
  std::unique_ptr<ImageState> state;
  absl::Time taken;     // up by the worker
  absl::Time denoised;  // last step done

  StepEvent Progress() const { return {index, state->StepsDone(), state->Steps()}; }
};

// One per worker. Thread-safe; must outlive the tasks it schedules on the executor.
class ImageOutput {
 public:
  // All must outlive this.
  struct Parts {
    StepRunner* runner = nullptr;
    Executor* executor = nullptr;
    const Clock* clock = nullptr;
    WorkQueue* work = nullptr;
  };
  explicit ImageOutput(const Parts& parts) : parts_(parts) {}

  // Takes a preview of `image`, which has just stepped, if one is due and the one before is out of
  // the way; encodes it on the executor. On the worker's thread. A preview that fails is left out.
  void OfferPreview(const ActiveImage& image);

  // Decodes and delivers an image that has taken all its steps, on the executor.
  void Finish(ActiveImage image);

  // Images given to Finish that are not delivered yet.
  int finishing() const { return finishing_.load(std::memory_order_relaxed); }

 private:
  void EncodePreview(RunningRequest& request, const StepEvent& step, const RgbImage& preview);
  void DecodeAndDeliver(const ActiveImage& image);

  const Parts parts_;
  std::atomic<int> finishing_{0};
};

}  // namespace ilf
