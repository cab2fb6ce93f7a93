// An observer that counts and keeps what it is told.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "engine/api/observer.h"

namespace ilf {

// Thread-safe.
class RecordingObserver final : public Observer {
 public:
  struct Record {
    std::map<absl::StatusCode, int> requests;  // ended, by outcome
    int queue_length = 0;                      // the latest
    int max_queue_length = 0;
    std::vector<absl::Duration> queue_waits;
    std::map<int, int> active_images;  // by worker, the latest
    std::vector<StepReport> steps;
    std::vector<absl::StatusCode> failed_steps;
    std::vector<absl::Duration> first_previews;
    int images_done = 0;
    int64_t block_evaluations = 0;
    int previews_encoded = 0;
    int previews_skipped = 0;
    std::map<int, absl::Duration> busy;  // by worker, the sum
    std::vector<absl::Duration> preparations;
    std::vector<DeviceMemory> memory;
  };

  Record record() const;

  void RequestEnded(const std::string& model, absl::StatusCode outcome,
                    absl::Duration end_to_end) override;
  void QueueLength(int images) override;
  void QueueWait(const std::string& model, absl::Duration wait) override;
  void ActiveImages(int worker, int images) override;
  void StepDone(const StepReport& report) override;
  void StepFailed(int worker, absl::StatusCode code) override;
  void FirstPreview(const std::string& model, absl::Duration since_submit) override;
  void ImageDone(const std::string& model, int64_t block_evaluations,
                 int64_t plain_block_evaluations) override;
  void PreviewEncoded(const std::string& model) override;
  void PreviewSkipped(const std::string& model) override;
  void WorkerBusy(int worker, absl::Duration busy) override;
  void ImagesPrepared(int worker, const std::string& model, absl::Duration duration) override;
  void MemoryUsed(const DeviceMemory& memory) override;

 private:
  mutable absl::Mutex mutex_;
  Record record_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace ilf
