// Metrics of every RPC: names and labels are those of go-grpc-prometheus, so that dashboards and
// alerts made for it fit.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "absl/time/time.h"
#include "engine/base/clock.h"
#include "google/protobuf/descriptor.h"
#include "grpcpp/support/server_interceptor.h"
#include "grpcpp/support/status.h"
#include "prometheus/counter.h"
#include "prometheus/family.h"
#include "prometheus/histogram.h"
#include "prometheus/registry.h"

namespace ilf {

// Thread-safe, but for Announce.
class RpcMetrics {
 public:
  // One method, in the labels of the metrics.
  struct Method {
    std::string type;  // "unary", "client_stream", "server_stream" or "bidi_stream"
    std::string service;
    std::string name;
  };

  // `registry` and `clock` outlive it.
  RpcMetrics(prometheus::Registry* registry, const Clock* clock);

  // Makes the methods of `service` known, and shows them with every code, at 0: of a counter that
  // appears with its first event Prometheus's rate() misses that event. Calls of other methods,
  // whose names clients may have made up, are counted as "unknown". Comes before the server is
  // built.
  void Announce(const google::protobuf::ServiceDescriptor& service);

  void Started(const Method& method);
  void Handled(const Method& method, grpc::StatusCode code, absl::Duration duration);

  // Reports the calls of the server that is built with it; must outlive that server.
  std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface> MakeInterceptors();

 private:
  class Factory;
  class Interceptor;

  // "unknown" unless `path`, "/service/method", was announced.
  Method MethodOf(const std::string& path) const;

  const Clock* const clock_;
  std::map<std::string, Method> methods_;  // by path
  prometheus::Family<prometheus::Counter>& started_;
  prometheus::Family<prometheus::Counter>& handled_;
  prometheus::Family<prometheus::Histogram>& handling_seconds_;
};

}  // namespace ilf
