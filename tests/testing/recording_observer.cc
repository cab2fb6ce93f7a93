#include "tests/testing/recording_observer.h"

#include <algorithm>

namespace ilf {

RecordingObserver::Record RecordingObserver::record() const {
  absl::MutexLock lock(&mutex_);
  return record_;
}

void RecordingObserver::RequestEnded(const std::string&, absl::StatusCode outcome, absl::Duration) {
  absl::MutexLock lock(&mutex_);
  ++record_.requests[outcome];
}

void RecordingObserver::QueueLength(int images) {
  absl::MutexLock lock(&mutex_);
  record_.queue_length = images;
  record_.max_queue_length = std::max(record_.max_queue_length, images);
}

void RecordingObserver::QueueWait(const std::string&, absl::Duration wait) {
  absl::MutexLock lock(&mutex_);
  record_.queue_waits.push_back(wait);
}

void RecordingObserver::ActiveImages(int worker, int images) {
  absl::MutexLock lock(&mutex_);
  record_.active_images[worker] = images;
}

void RecordingObserver::StepDone(const StepReport& report) {
  absl::MutexLock lock(&mutex_);
  record_.steps.push_back(report);
}

void RecordingObserver::StepFailed(int, absl::StatusCode code) {
  absl::MutexLock lock(&mutex_);
  record_.failed_steps.push_back(code);
}

void RecordingObserver::FirstPreview(const std::string&, absl::Duration since_submit) {
  absl::MutexLock lock(&mutex_);
  record_.first_previews.push_back(since_submit);
}

void RecordingObserver::ImageDone(const std::string&, int64_t block_evaluations, int64_t) {
  absl::MutexLock lock(&mutex_);
  ++record_.images_done;
  record_.block_evaluations += block_evaluations;
}

void RecordingObserver::PreviewEncoded(const std::string&) {
  absl::MutexLock lock(&mutex_);
  ++record_.previews_encoded;
}

void RecordingObserver::PreviewSkipped(const std::string&) {
  absl::MutexLock lock(&mutex_);
  ++record_.previews_skipped;
}

void RecordingObserver::WorkerBusy(int worker, absl::Duration busy) {
  absl::MutexLock lock(&mutex_);
  record_.busy[worker] += busy;
}

void RecordingObserver::ImagesPrepared(int, const std::string&, absl::Duration duration) {
  absl::MutexLock lock(&mutex_);
  record_.preparations.push_back(duration);
}

void RecordingObserver::MemoryUsed(const DeviceMemory& memory) {
  absl::MutexLock lock(&mutex_);
  record_.memory.push_back(memory);
}

}  // namespace ilf
