#include "server/generate_stream.h"

#include <utility>

namespace ilf {
namespace {

// When the client, at the earliest, holds that the call's `deadline` has passed. It ends the call
// then, a little before our own clock says so: gRPC rounds the time that is left up by as much as
// 1 % on its way to us.
absl::Time ClientDeadline(absl::Time deadline, absl::Time now) {
  if (deadline == absl::InfiniteFuture()) return deadline;
  return deadline - (deadline - now) / 50 - absl::Milliseconds(10);
}

}  // namespace

GenerateStream::GenerateStream(std::string request_id, std::string model, absl::Time deadline,
                               const Parts& parts, const GenerateStreamOptions& options)
    : model_(model),
      engine_(parts.engine),
      observer_(parts.observer),
      clock_(parts.clock),
      write_stall_timeout_(options.write_stall_timeout),
      client_deadline_(ClientDeadline(deadline, clock_->Now())),
      transport_(parts.transport),
      buffer_(std::move(request_id), std::move(model), options.buffer) {}

void GenerateStream::Submitted(const absl::StatusOr<RequestHandle>& result) {
  if (!result.ok()) {
    OnDone(result.status());
    return;
  }
  std::optional<absl::Status> cancelled;
  {
    absl::MutexLock lock(&mutex_);
    handle_ = *result;
    cancelled = cancelled_;
  }
  if (cancelled.has_value()) engine_->Cancel(*result, *cancelled);
}

void GenerateStream::OnEvent(Event event) {
  absl::MutexLock lock(&mutex_);
  if (cancelled_.has_value() || aborted_) return;
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
  absl::Status why;
  {
    absl::MutexLock lock(&mutex_);
    if (!cancelled_.has_value()) cancelled_ = WhyCancelled();
    why = *cancelled_;
    buffer_.Clear();
    if (!end_.has_value()) handle = handle_;
    SendNext();
  }
  if (handle.has_value()) engine_->Cancel(*handle, why);
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

absl::Status GenerateStream::WhyCancelled() const {
  if (aborted_) return absl::CancelledError("the client left too much unread");
  if (clock_->Now() >= client_deadline_) {
    return absl::DeadlineExceededError("the deadline has passed");
  }
  return absl::CancelledError("the client cancelled the call");
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
  const bool cut_short = cancelled_.has_value() && end_->ok();
  std::exchange(transport_, nullptr)->Finish(cut_short ? *cancelled_ : *end_);
}

}  // namespace ilf
