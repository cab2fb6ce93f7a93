#include "server/generate_stream.h"

#include <utility>

namespace ilf {

GenerateStream::GenerateStream(std::string request_id, std::string model, const Parts& parts,
                               const GenerateStreamOptions& options)
    : model_(model),
      engine_(parts.engine),
      observer_(parts.observer),
      clock_(parts.clock),
      write_stall_timeout_(options.write_stall_timeout),
      transport_(parts.transport),
      buffer_(std::move(request_id), std::move(model), options.buffer) {}

void GenerateStream::Submitted(const absl::StatusOr<RequestHandle>& result) {
  if (!result.ok()) {
    OnDone(result.status());
    return;
  }
  bool cancelled;
  {
    absl::MutexLock lock(&mutex_);
    handle_ = *result;
    cancelled = cancelled_;
  }
  if (cancelled) engine_->Cancel(*result);
}

void GenerateStream::OnEvent(Event event) {
  absl::MutexLock lock(&mutex_);
  if (cancelled_ || aborted_) return;
  if (!buffer_.Push(std::move(event)).ok()) {
    Abort();
    return;
  }
  if (const int64_t dropped = buffer_.TakeDroppedPreviews(); dropped > 0) {
    observer_->PreviewsDropped(model_, dropped);
  }
  SendNext();
}

void GenerateStream::OnDone(absl::Status status) {
  absl::MutexLock lock(&mutex_);
  end_ = std::move(status);
  SendNext();
}

void GenerateStream::WriteDone(bool ok) {
  {
    absl::MutexLock lock(&mutex_);
    writing_ = false;
    if (ok && outgoing_.has_preview()) observer_->PreviewSent(model_);
    if (ok) SendNext();
  }
  if (!ok) Cancelled();
}

void GenerateStream::Cancelled() {
  std::optional<RequestHandle> handle;
  {
    absl::MutexLock lock(&mutex_);
    cancelled_ = true;
    buffer_.Clear();
    if (!end_.has_value()) handle = handle_;
    SendNext();
  }
  if (handle.has_value()) engine_->Cancel(*handle);
}

bool GenerateStream::CancelIfStalled() {
  absl::MutexLock lock(&mutex_);
  if (!writing_ || aborted_ || clock_->Now() - write_began_ < write_stall_timeout_) return false;
  Abort();
  return true;
}

void GenerateStream::Abort() {
  aborted_ = true;
  buffer_.Clear();
  observer_->StreamStalled(model_);
  if (transport_ != nullptr) transport_->Abort();
}

void GenerateStream::SendNext() {
  if (transport_ == nullptr || writing_) return;
  if (std::optional<v1::GenerateResponse> next = buffer_.Pop(); next.has_value()) {
    outgoing_ = *std::move(next);
    writing_ = true;
    write_began_ = clock_->Now();
    transport_->Write(&outgoing_);
    return;
  }
  if (!end_.has_value()) return;
  std::exchange(transport_, nullptr)
      ->Finish(cancelled_ ? absl::CancelledError("cancelled") : *end_);
}

}  // namespace ilf
