// The ports of the server and what answers on them: gRPC with health and reflection, metrics over
// HTTP.
//
// The ports are open from Start on. Until Serve the health service says NOT_SERVING and requests
// are answered with UNAVAILABLE. Health is reported for "" and for "ilf.v1.ImageGenerationService".
#pragma once

#include <memory>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "engine/api/engine.h"
#include "engine/api/observer.h"
#include "engine/base/clock.h"
#include "grpcpp/grpcpp.h"
#include "prometheus/exposer.h"
#include "server/generation_service.h"
#include "server/health_service.h"
#include "server/metrics.h"
#include "server/server_options.h"

namespace ilf {

// Thread-safe, except for Serve and Drain, which one thread calls.
class Server {
 public:
  // Opens the ports. UNAVAILABLE, with the address and the reason, when one cannot be opened.
  // `clock` outlives the server and must run: it is what stalled streams are measured by.
  static absl::StatusOr<std::unique_ptr<Server>> Start(const ServerOptions& options,
                                                       const Clock* clock);

  // Cancels what still runs.
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // HOST:PORT with the real port; the metrics address is "" when there is none.
  const std::string& address() const { return address_; }
  const std::string& metrics_address() const { return metrics_address_; }

  // For the engine to report to; lives as long as the server.
  Observer* observer() { return &metrics_; }

  // Passes requests to `engine`, and reports its health. It lives until Drain has returned; without
  // Drain, longer than the server. Called once.
  void Serve(Engine* engine);

  // NOT_SERVING, refuses what is new, waits for what runs until `deadline`, ends the rest, and
  // gives the clients a moment to take the last bytes. Blocks; nothing is served afterwards.
  void Drain(absl::Time deadline);

 private:
  Server(const ServerOptions& options, const Clock* clock);

  absl::Status OpenMetrics(const std::string& address);
  absl::Status OpenGrpc(const std::string& address);
  // Cancels stalled streams and follows the engine's health until `closing_`.
  void Watch();
  void SetServing(bool serving);

  const absl::Duration watch_interval_;
  ServerMetrics metrics_;
  GenerationService service_;
  HealthService health_;
  std::string address_;
  std::string metrics_address_;
  std::unique_ptr<prometheus::Exposer> exposer_;
  std::unique_ptr<grpc::Server> grpc_server_;

  absl::Mutex mutex_;
  Engine* engine_ ABSL_GUARDED_BY(mutex_) = nullptr;  // null before Serve and after Drain began
  bool serving_ ABSL_GUARDED_BY(mutex_) = false;
  bool closing_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread watch_;
};

}  // namespace ilf
