#include "server/health_service.h"

#include <utility>

namespace ilf {

using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;

// One Watch call: sends the status when it begins, and after each change. A slow reader misses what
// has been overtaken. All of it is guarded by the service's mutex. Deletes itself when gRPC is
// done.
class HealthService::Watcher final : public grpc::ServerWriteReactor<HealthCheckResponse> {
 public:
  Watcher(HealthService* service, std::string watched)
      : service_(service), watched_(std::move(watched)) {}

  void SendIfNew() {
    service_->mutex_.AssertHeld();
    if (writing_ || finished_) return;
    const ServingStatus status = service_->Status(watched_);
    if (began_ && status == response_.status()) return;
    began_ = true;
    writing_ = true;
    response_.set_status(status);
    StartWrite(&response_);
  }

 private:
  void OnWriteDone(bool ok) override {
    absl::MutexLock lock(&service_->mutex_);
    writing_ = false;
    if (!ok || cancelled_) {
      End();
    } else {
      SendIfNew();
    }
  }

  void OnCancel() override {
    absl::MutexLock lock(&service_->mutex_);
    cancelled_ = true;
    if (!writing_) End();
  }

  void OnDone() override {
    {
      absl::MutexLock lock(&service_->mutex_);
      service_->watchers_.erase(this);
    }
    delete this;
  }

  void End() {
    if (finished_) return;
    finished_ = true;
    Finish(grpc::Status::CANCELLED);
  }

  HealthService* const service_;
  const std::string watched_;
  HealthCheckResponse response_;
  bool began_ = false;
  bool writing_ = false;
  bool cancelled_ = false;
  bool finished_ = false;
};

HealthService::HealthService(const std::vector<std::string>& services) {
  for (const std::string& service : services) serving_.emplace(service, false);
}

void HealthService::SetServing(const std::vector<std::string>& services, bool serving) {
  absl::MutexLock lock(&mutex_);
  for (const std::string& service : services) serving_.at(service) = serving;
  for (Watcher* const watcher : watchers_) watcher->SendIfNew();
}

grpc::ServerUnaryReactor* HealthService::Check(grpc::CallbackServerContext* context,
                                               const HealthCheckRequest* request,
                                               HealthCheckResponse* response) {
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  {
    absl::MutexLock lock(&mutex_);
    response->set_status(Status(request->service()));
  }
  const bool known = response->status() != HealthCheckResponse::SERVICE_UNKNOWN;
  reactor->Finish(known ? grpc::Status::OK
                        : grpc::Status(grpc::StatusCode::NOT_FOUND, "no such service"));
  return reactor;
}

grpc::ServerWriteReactor<HealthCheckResponse>* HealthService::Watch(
    grpc::CallbackServerContext* /*context*/, const HealthCheckRequest* request) {
  auto* const watcher = new Watcher(this, request->service());
  absl::MutexLock lock(&mutex_);
  watchers_.insert(watcher);
  watcher->SendIfNew();
  return watcher;
}

HealthService::ServingStatus HealthService::Status(const std::string& service) const {
  const auto found = serving_.find(service);
  if (found == serving_.end()) return HealthCheckResponse::SERVICE_UNKNOWN;
  return found->second ? HealthCheckResponse::SERVING : HealthCheckResponse::NOT_SERVING;
}

}  // namespace ilf
