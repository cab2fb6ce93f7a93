// grpc.health.v1.Health. gRPC's own says SERVING from its first moment on; this one says
// NOT_SERVING of each service until it is told otherwise.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "grpcpp/grpcpp.h"

namespace ilf {

// Thread-safe. Outlives the calls, as gRPC asks of every service.
class HealthService final : public grpc::health::v1::Health::CallbackService {
 public:
  // Answers for these services; of others it says that it knows none.
  explicit HealthService(const std::vector<std::string>& services);

  // All of `services` must be known.
  void SetServing(const std::vector<std::string>& services, bool serving)
      ABSL_LOCKS_EXCLUDED(mutex_);

  grpc::ServerUnaryReactor* Check(grpc::CallbackServerContext* context,
                                  const grpc::health::v1::HealthCheckRequest* request,
                                  grpc::health::v1::HealthCheckResponse* response) override
      ABSL_LOCKS_EXCLUDED(mutex_);
  grpc::ServerWriteReactor<grpc::health::v1::HealthCheckResponse>* Watch(
      grpc::CallbackServerContext* context,
      const grpc::health::v1::HealthCheckRequest* request) override ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  using ServingStatus = grpc::health::v1::HealthCheckResponse::ServingStatus;
  class Watcher;

  // SERVICE_UNKNOWN for a service that is not ours.
  ServingStatus Status(const std::string& service) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  absl::Mutex mutex_;
  std::map<std::string, bool> serving_
      ABSL_GUARDED_BY(mutex_);  // by service; its keys never change
  std::set<Watcher*> watchers_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace ilf
