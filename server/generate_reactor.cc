#include "server/generate_reactor.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "server/error_details.h"
#include "server/limits.h"
#include "spdlog/spdlog.h"

namespace ilf {

GenerateReactor::GenerateReactor(const GenerateEnvironment* environment,
                                 grpc::CallbackServerContext* context)
    : environment_(environment), context_(context), began_(environment->clock->Now()) {
  environment_->observer->StreamOpened();
}

void GenerateReactor::Refuse(const absl::Status& status, const std::string& request_id,
                             const std::string& model) {
  request_id_ = request_id;
  model_ = model;
  environment_->observer->RequestRefused(model, status.code());
  End(status);
}

void GenerateReactor::Run(Engine* engine, GenerationRequest request) {
  request_id_ = request.request_id;
  model_ = request.model;
  const auto stream = std::make_shared<GenerateStream>(
      request.request_id, request.model, request.deadline,
      GenerateStream::Parts{engine, this, environment_->observer, environment_->clock},
      environment_->stream_options);
  if (!environment_->registry->Add(request_id_, stream)) {
    Refuse(absl::AlreadyExistsError(
               absl::StrCat("a request with request_id '", request_id_, "' is running")),
           request_id_, model_);
    return;
  }
  stream_ = stream;
  absl::StatusOr<RequestHandle> handle = engine->Submit(std::move(request), stream);
  if (absl::IsResourceExhausted(handle.status())) {
    handle = WithRetryDelay(handle.status(), engine->RetryDelay());
  }
  stream->Submitted(handle);
}

void GenerateReactor::Write(const v1::GenerateResponse* response) { StartWrite(response); }

void GenerateReactor::Finish(const absl::Status& status) {
  environment_->registry->Remove(request_id_);
  End(status);
}

void GenerateReactor::End(const absl::Status& status) {
  outcome_ = status.code();
  grpc::ServerWriteReactor<v1::GenerateResponse>::Finish(ToGrpcStatus(
      absl::IsUnavailable(status) ? WithRetryDelay(status, kUnavailableRetryDelay) : status));
}

void GenerateReactor::Abort() { context_->TryCancel(); }

void GenerateReactor::OnWriteDone(bool ok) { stream_->WriteDone(ok); }

void GenerateReactor::OnCancel() {
  if (stream_ != nullptr) stream_->Cancelled();
}

void GenerateReactor::OnDone() {
  const absl::Duration duration = environment_->clock->Now() - began_;
  spdlog::info("request_id={} model={} outcome={} seconds={:.3f}", Quoted(request_id_), model_,
               StatusCodeName(outcome_), absl::ToDoubleSeconds(duration));
  environment_->observer->StreamClosed();
  delete this;
}

}  // namespace ilf
