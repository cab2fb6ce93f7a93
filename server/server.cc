#include "server/server.h"

#include <algorithm>
#include <exception>
#include <utility>
#include <vector>

#include "grpcpp/ext/proto_server_reflection_plugin.h"
#include "server/limits.h"
#include "server/listen_address.h"
#include "server/version.h"
#include "spdlog/spdlog.h"
#include "tls/credentials.h"

namespace ilf {
namespace {

// What a client has to take the last bytes of its stream after the engine has ended it.
constexpr absl::Duration kFlushTime = absl::Seconds(2);

// A client that has vanished without a word is noticed within the sum of both.
constexpr absl::Duration kKeepaliveTime = absl::Seconds(30);
constexpr absl::Duration kKeepaliveTimeout = absl::Seconds(10);

const std::vector<std::string>& ReadinessServices() {
  static const std::vector<std::string> services = {
      "", "readiness", v1::ImageGenerationService::service_full_name()};
  return services;
}

const std::vector<std::string>& LivenessServices() {
  static const std::vector<std::string> services = {"liveness"};
  return services;
}

std::vector<std::string> AllHealthServices() {
  std::vector<std::string> services = ReadinessServices();
  services.insert(services.end(), LivenessServices().begin(), LivenessServices().end());
  return services;
}

std::vector<std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>> Interceptors(
    RpcMetrics* metrics) {
  std::vector<std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>> result;
  result.push_back(metrics->MakeInterceptors());
  return result;
}

GenerateStreamOptions StreamOptions(const ServerOptions& options) {
  return {{options.max_stream_bytes, kMaxChunkBytes}, options.write_stall_timeout};
}

}  // namespace

absl::StatusOr<std::unique_ptr<Server>> Server::Start(const ServerOptions& options,
                                                      const Clock* clock) {
  absl::StatusOr<std::optional<TlsCertificate>> certificate = CheckServerTls(options.tls);
  if (!certificate.ok()) return certificate.status();
  std::unique_ptr<Server> server(new Server(options, clock));
  if (absl::Status status = server->OpenMetrics(options.metrics_address); !status.ok()) {
    return status;
  }
  if (absl::Status status = server->OpenHealth(options.health_address); !status.ok()) {
    return status;
  }
  if (absl::Status status = server->OpenGrpc(options); !status.ok()) return status;
  server->tls_report_.emplace(options, *std::move(certificate), &server->metrics_, clock->Now());
  server->watch_ = std::thread([raw = server.get()] { raw->Watch(); });
  return server;
}

Server::Server(const ServerOptions& options, const Clock* clock)
    : watch_interval_(std::min(absl::Seconds(1), options.write_stall_timeout / 4)),
      clock_(clock),
      metrics_(Version()),
      rpc_metrics_(metrics_.registry().get(), clock),
      service_(StreamOptions(options), &metrics_, clock),
      health_(AllHealthServices()),
      health_for_port_(AllHealthServices()) {
  metrics_.Configured(options);
  for (HealthService* const health : {&health_, &health_for_port_}) {
    health->SetServing(LivenessServices(), true);
  }
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  for (const char* name :
       {v1::ImageGenerationService::service_full_name(),
        grpc::health::v1::Health::service_full_name(), "grpc.reflection.v1alpha.ServerReflection",
        "grpc.reflection.v1.ServerReflection"}) {
    const auto* const pool = google::protobuf::DescriptorPool::generated_pool();
    const auto* const service = pool->FindServiceByName(name);
    if (service != nullptr) rpc_metrics_.Announce(*service);  // reflection v1 is new in gRPC 1.60
  }
}

Server::~Server() {
  {
    absl::MutexLock lock(&mutex_);
    engine_ = nullptr;
    closing_ = true;
  }
  if (watch_.joinable()) watch_.join();
  for (grpc::Server* const server : {grpc_server_.get(), health_server_.get()}) {
    if (server != nullptr) server->Shutdown(std::chrono::system_clock::now());
  }
}

absl::Status Server::OpenMetrics(const std::string& address) {
  if (address == kNoMetrics) return absl::OkStatus();
  try {
    exposer_ = std::make_unique<prometheus::Exposer>(address);
  } catch (const std::exception&) {
    return ListenError(address);
  }
  exposer_->RegisterCollectable(metrics_.registry());
  exposer_->RegisterCollectable(process_metrics_);
  metrics_address_ = WithPort(address, exposer_->GetListeningPorts().front());
  return absl::OkStatus();
}

absl::Status Server::OpenHealth(const std::string& address) {
  if (address == kNoHealthPort) return absl::OkStatus();
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort(address, grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(&health_for_port_);
  builder.SetMaxReceiveMessageSize(kMaxRequestBytes);
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kMaxConcurrentStreams);
  health_server_ = builder.BuildAndStart();
  if (health_server_ == nullptr || port == 0) return ListenError(address);
  health_address_ = WithPort(address, port);
  return absl::OkStatus();
}

absl::Status Server::OpenGrpc(const ServerOptions& options) {
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort(options.address,
                           options.tls.cert.empty()
                               ? grpc::InsecureServerCredentials()
                               : ServerTlsCredentials(options.tls, options.tls_refresh_interval),
                           &port);
  builder.RegisterService(&service_);
  builder.RegisterService(&health_);
  builder.SetMaxReceiveMessageSize(kMaxRequestBytes);
  // Otherwise two servers could share a port without knowing.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kMaxConcurrentStreams);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS,
                             static_cast<int>(absl::ToInt64Milliseconds(kKeepaliveTime)));
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS,
                             static_cast<int>(absl::ToInt64Milliseconds(kKeepaliveTimeout)));
  if (options.max_connection_age > absl::ZeroDuration()) {
    builder.AddChannelArgument(
        GRPC_ARG_MAX_CONNECTION_AGE_MS,
        static_cast<int>(absl::ToInt64Milliseconds(options.max_connection_age)));
  }
  builder.experimental().SetInterceptorCreators(Interceptors(&rpc_metrics_));
  grpc_server_ = builder.BuildAndStart();
  if (grpc_server_ == nullptr || port == 0) return ListenError(options.address);
  address_ = WithPort(options.address, port);
  return absl::OkStatus();
}

void Server::SetServing(bool serving) {
  metrics_.Serving(serving);
  // The probes' port first: who sees news on the gRPC port finds them there too.
  for (HealthService* const health : {&health_for_port_, &health_}) {
    health->SetServing(ReadinessServices(), serving);
  }
}

void Server::Serve(Engine* engine) {
  service_.Serve(engine);
  absl::MutexLock lock(&mutex_);
  engine_ = engine;
  serving_ = engine->Healthy();
  SetServing(serving_);
}

void Server::Watch() {
  absl::MutexLock lock(&mutex_);
  while (!mutex_.AwaitWithTimeout(absl::Condition(&closing_), watch_interval_)) {
    if (const int stalled = service_.CancelStalledStreams(); stalled > 0) {
      spdlog::warn("cancelled {} streams whose clients do not read", stalled);
    }
    tls_report_->Refresh(clock_->Now());
    if (engine_ == nullptr || engine_->Healthy() == serving_) continue;
    serving_ = !serving_;
    if (serving_) {
      spdlog::info("healthy again: SERVING");
    } else {
      spdlog::error("a device does not answer, or fails at every step: NOT_SERVING");
    }
    SetServing(serving_);
  }
}

void Server::Drain(absl::Time deadline) {
  service_.StopAccepting();
  Engine* engine;
  {
    absl::MutexLock lock(&mutex_);
    engine = std::exchange(engine_, nullptr);
    SetServing(false);
  }
  if (engine != nullptr) engine->Drain(deadline);
  grpc_server_->Shutdown(absl::ToChronoTime(absl::Now() + kFlushTime));
}

}  // namespace ilf
