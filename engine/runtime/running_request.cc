#include "engine/runtime/running_request.h"

#include <utility>

namespace ilf {

RunningRequest::RunningRequest(RequestHandle handle, GenerationRequest request,
                               std::string cost_key, std::shared_ptr<EventSink> sink,
                               Listeners listeners)
    : handle_(handle),
      request_(std::move(request)),
      cost_key_(std::move(cost_key)),
      listeners_(std::move(listeners)),
      submitted_(listeners_.clock->Now()),
      sink_(std::move(sink)),
      images_(request_.image_count) {}

absl::Status RunningRequest::Admit(absl::FunctionRef<absl::StatusOr<QueuedEvent>()> admit) {
  absl::MutexLock lock(&mutex_);
  absl::StatusOr<QueuedEvent> queued = admit();
  if (!queued.ok()) {
    ended_.store(true, std::memory_order_release);
    sink_ = nullptr;
    listeners_.observer->RequestEnded(request_.model, queued.status().code(),
                                      listeners_.clock->Now() - submitted_);
    return queued.status();
  }
  sink_->OnEvent(*queued);
  return absl::OkStatus();
}

void RunningRequest::Taken() {
  absl::MutexLock lock(&mutex_);
  if (Ended() || started_) return;
  started_ = true;
  sink_->OnEvent(StartedEvent{listeners_.clock->Now() - submitted_});
}

void RunningRequest::Stepped(const StepEvent& step) {
  absl::MutexLock lock(&mutex_);
  if (!Ended()) sink_->OnEvent(step);
}

bool RunningRequest::StartPreview(int image_index) {
  absl::MutexLock lock(&mutex_);
  if (Ended()) return false;
  bool& under_way = images_[image_index].preview_under_way;
  if (under_way) {
    listeners_.observer->PreviewSkipped(request_.model);
    return false;
  }
  under_way = true;
  return true;
}

void RunningRequest::FinishPreview(const StepEvent& step, absl::StatusOr<EncodedImage> preview) {
  absl::MutexLock lock(&mutex_);
  Image& image = images_[step.image_index];
  image.preview_under_way = false;
  if (Ended()) return;
  if (!preview.ok() || image.done) {
    listeners_.observer->PreviewSkipped(request_.model);
    return;
  }
  listeners_.observer->PreviewEncoded(request_.model);
  if (!preview_sent_) {
    preview_sent_ = true;
    listeners_.observer->FirstPreview(request_.model, listeners_.clock->Now() - submitted_);
  }
  sink_->OnEvent(PreviewEvent{step.image_index, step.step, step.steps, *std::move(preview)});
}

void RunningRequest::ImageDone(ImageEvent image) {
  std::shared_ptr<EventSink> sink;
  {
    absl::MutexLock lock(&mutex_);
    if (Ended()) return;
    images_[image.image_index].done = true;
    listeners_.observer->ImageDone(request_.model, image.block_evaluations,
                                   image.plain_block_evaluations);
    sink_->OnEvent(std::move(image));
    ++images_done_;
    if (images_done_ < request_.image_count) return;
    sink_->OnEvent(CompletedEvent{images_done_, listeners_.clock->Now() - submitted_});
    sink = Close(absl::OkStatus());
  }
  listeners_.ended(handle_);
}

void RunningRequest::End(const absl::Status& status) {
  std::shared_ptr<EventSink> sink;
  {
    absl::MutexLock lock(&mutex_);
    if (Ended()) return;
    sink = Close(status);
  }
  listeners_.ended(handle_);
}

std::shared_ptr<EventSink> RunningRequest::Close(const absl::Status& status) {
  ended_.store(true, std::memory_order_release);
  listeners_.observer->RequestEnded(request_.model, status.code(),
                                    listeners_.clock->Now() - submitted_);
  sink_->OnDone(status);
  return std::move(sink_);
}

}  // namespace ilf
