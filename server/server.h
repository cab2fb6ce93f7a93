// The ports of the server and what answers on them: gRPC with health and reflection, in plain text
// or over TLS; health alone, in plain text, for probes; metrics over HTTP.
//
// The ports are open from Start on. Until Serve requests are answered with UNAVAILABLE.
//
// Health is the same on both ports. "readiness", "" and "ilf.v1.ImageGenerationService" are SERVING
// while requests are taken: from Serve until Drain, with interruptions where devices do not answer.
// "liveness" is SERVING as long as there is a port to ask, so that nobody kills a server that loads
// or drains.
#pragma once

#include <memory>
#include <optional>
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
#include "server/process_metrics.h"
#include "server/rpc_metrics.h"
#include "server/server_options.h"
#include "server/tls_report.h"

namespace ilf {

// Thread-safe, except for Serve and Drain, which one thread calls.
class Server {
 public:
  // Opens the ports. UNAVAILABLE, with the address and the reason, when one cannot be opened;
  // INVALID_ARGUMENT, with the flag and the reason, when the TLS files do not serve.
  // `clock` outlives the server and must run: it is what stalled streams are measured by.
  static absl::StatusOr<std::unique_ptr<Server>> Start(const ServerOptions& options,
                                                       const Clock* clock);

  // Cancels what still runs.
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // HOST:PORT with the real port; "" for a metrics or health port when there is none.
  const std::string& address() const { return address_; }
  const std::string& metrics_address() const { return metrics_address_; }
  const std::string& health_address() const { return health_address_; }

  // For the engine to report to; lives as long as the server.
  Observer* observer() { return &metrics_; }

  // Passes requests to `engine`, and reports its health. It lives until Drain has returned; without
  // Drain, longer than the server. Called once.
  void Serve(Engine* engine);

  // NOT_SERVING, refuses what is new, waits for what runs until `deadline`, ends the rest, and
  // gives the clients a moment to take the last bytes. Blocks; nothing is served afterwards, but
  // the health port answers as long as the server lives.
  void Drain(absl::Time deadline);

 private:
  Server(const ServerOptions& options, const Clock* clock);

  absl::Status OpenMetrics(const std::string& address);
  absl::Status OpenHealth(const std::string& address);
  absl::Status OpenGrpc(const ServerOptions& options);
  // Cancels stalled streams and follows the engine's health and the TLS files until `closing_`.
  void Watch();
  void SetServing(bool serving);

  const absl::Duration watch_interval_;
  const Clock* const clock_;
  ServerMetrics metrics_;
  const std::shared_ptr<ProcessMetrics> process_metrics_ = std::make_shared<ProcessMetrics>();
  RpcMetrics rpc_metrics_;
  GenerationService service_;
  HealthService health_;           // on the gRPC port
  HealthService health_for_port_;  // on the health port; says the same
  std::string address_;
  std::string metrics_address_;
  std::string health_address_;
  std::optional<TlsReport> tls_report_;  // set by Start, then of the watch
  std::unique_ptr<prometheus::Exposer> exposer_;
  std::unique_ptr<grpc::Server> health_server_;
  std::unique_ptr<grpc::Server> grpc_server_;

  absl::Mutex mutex_;
  Engine* engine_ ABSL_GUARDED_BY(mutex_) = nullptr;  // null before Serve and after Drain began
  bool serving_ ABSL_GUARDED_BY(mutex_) = false;
  bool closing_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread watch_;
};

}  // namespace ilf
