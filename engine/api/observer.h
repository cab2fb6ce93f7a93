// What the engine tells whoever watches it (metrics). Calls come from any thread, with the engine's
// locks held: an implementation is thread-safe, returns at once and does not call the engine.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "engine/api/device_memory.h"

namespace ilf {

struct StepReport {
  int worker = 0;
  std::string model;
  int images = 0;
  int rows = 0;           // transformer rows of the forward pass
  int feedback_rows = 0;  // of these, how many ran feedback
  int64_t tokens = 0;     // of all rows
  absl::Duration duration;
};

class Observer {
 public:
  virtual ~Observer() = default;

  // A Submit was refused, or a request that was taken has ended. `end_to_end`: submit -> end.
  virtual void RequestEnded(const std::string& model, absl::StatusCode outcome,
                            absl::Duration end_to_end) = 0;
  virtual void QueueLength(int images) = 0;                                   // after each change
  virtual void QueueWait(const std::string& model, absl::Duration wait) = 0;  // per image taken up
  virtual void ActiveImages(int worker, int images) = 0;                      // after each change
  virtual void StepDone(const StepReport& report) = 0;
  // A step, or the preparation for the first one.
  virtual void StepFailed(int worker, absl::StatusCode code) = 0;
  virtual void FirstPreview(const std::string& model, absl::Duration since_submit) = 0;
  virtual void ImageDone(const std::string& model, int64_t block_evaluations,
                         int64_t plain_block_evaluations) = 0;
  virtual void PreviewEncoded(const std::string& /*model*/) {}
  // A preview was due while the one before it was still being encoded, or came too late.
  virtual void PreviewSkipped(const std::string& /*model*/) {}
  // A prompt was read for an image; `cached`: it did not go through the text encoder.
  virtual void PromptRead(const std::string& /*model*/, bool /*cached*/) {}
  // The worker spent so long on its images: taking them up, steps, taking previews.
  virtual void WorkerBusy(int /*worker*/, absl::Duration /*busy*/) {}
  // Images that were taken up together have been prepared for their first step.
  virtual void ImagesPrepared(int /*worker*/, const std::string& /*model*/,
                              absl::Duration /*duration*/) {}
  // At the start, and from time to time while the device works.
  virtual void MemoryUsed(const DeviceMemory& /*memory*/) {}
};

}  // namespace ilf
