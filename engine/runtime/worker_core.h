// What a worker does between two looks at the clock, apart from the thread that does it.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "engine/api/observer.h"
#include "engine/api/step_runner.h"
#include "engine/base/clock.h"
#include "engine/base/executor.h"
#include "engine/batching/step_batcher.h"
#include "engine/runtime/engine_options.h"
#include "engine/runtime/image_output.h"
#include "engine/runtime/work_queue.h"

namespace ilf {

// Keeps the images of one device from the queue to their last step. All calls come from one thread,
// which never waits for a client, for an encoder or for a decode.
//
// A step that fails ends the requests whose images were in that batch, and so does a preparation.
// When the device is out of memory the batch is split in halves, down to single images, before that
// happens.
class WorkerCore {
 public:
  // All must outlive this and the tasks on the executor.
  struct Parts {
    StepRunner* runner = nullptr;
    Executor* executor = nullptr;
    const Clock* clock = nullptr;
    Observer* observer = nullptr;
    WorkQueue* work = nullptr;
  };

  WorkerCore(int index, const EngineOptions& options, const Parts& parts);

  // Lets go of images whose requests have ended, takes up new ones, and steps one batch. False when
  // there was nothing to do.
  bool RunOnce();

  int active_images() const { return batcher_.images(); }

 private:
  struct BatchRows {
    int all = 0;
    int feedback = 0;  // of these, how many run feedback
    int64_t tokens = 0;
  };

  void DropEnded();
  bool TakeUp();
  bool HasRoom() const;
  std::optional<ImageId> Begin(const TakenImage& taken);
  void Prepare(std::vector<ImageId> ids);
  void PrepareTogether(absl::Span<const ImageId> ids);
  void StepBatch(absl::Span<const ImageId> ids);
  std::vector<ImageState*> States(absl::Span<const ImageId> ids) const;
  absl::Status CallRun(absl::Span<const ImageId> ids);
  void AfterStep(absl::Span<const ImageId> ids, const BatchRows& rows, absl::Duration took);
  void AfterFailure(const char* what, absl::Span<const ImageId> ids, const absl::Status& status);
  void ReportMemory();
  void NoteFailure(const absl::Status& status);
  void Advance(ImageId id);
  ActiveImage Release(ImageId id);

  BatchRows Rows(absl::Span<const ImageId> ids) const;
  std::vector<StepCost> Costs(absl::Span<const ImageId> ids, int64_t tokens,
                              absl::Duration took) const;

  const int index_;
  const EngineOptions options_;
  const Parts parts_;
  ImageOutput output_;
  StepBatcher batcher_;
  std::vector<ActiveImage> slots_;  // by ImageId; free where request is null
  absl::Duration preparing_;        // an image, lately
  absl::Time next_memory_report_ = absl::InfinitePast();
};

}  // namespace ilf
