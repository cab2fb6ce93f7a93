#include "server/rpc_metrics.h"

#include <array>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/metrics.h"

namespace ilf {
namespace {

using grpc::experimental::InterceptionHookPoints;
using grpc::experimental::InterceptorBatchMethods;
using grpc::experimental::ServerRpcInfo;

// As Go's codes.Code prints them, by number.
constexpr std::array<const char*, 17> kCodeNames = {
    "OK",       "Canceled",       "Unknown",          "InvalidArgument",   "DeadlineExceeded",
    "NotFound", "AlreadyExists",  "PermissionDenied", "ResourceExhausted", "FailedPrecondition",
    "Aborted",  "OutOfRange",     "Unimplemented",    "Internal",          "Unavailable",
    "DataLoss", "Unauthenticated"};

const char* NameOf(grpc::StatusCode code) {
  const int number = static_cast<int>(code);
  const bool known = number >= 0 && number < static_cast<int>(kCodeNames.size());
  return kCodeNames[known ? number : grpc::StatusCode::UNKNOWN];
}

const char* TypeName(bool client_streams, bool server_streams) {
  if (client_streams) return server_streams ? "bidi_stream" : "client_stream";
  return server_streams ? "server_stream" : "unary";
}

prometheus::Labels LabelsOf(const RpcMetrics::Method& method) {
  return {
      {"grpc_type", method.type}, {"grpc_service", method.service}, {"grpc_method", method.name}};
}

prometheus::Labels LabelsOf(const RpcMetrics::Method& method, const char* code) {
  prometheus::Labels labels = LabelsOf(method);
  labels.emplace("grpc_code", code);
  return labels;
}

}  // namespace

// Of one call: begins and ends with it, and sees its status on the way out.
class RpcMetrics::Interceptor final : public grpc::experimental::Interceptor {
 public:
  Interceptor(RpcMetrics* metrics, Method method)
      : metrics_(metrics), method_(std::move(method)), began_(metrics->clock_->Now()) {
    metrics_->Started(method_);
  }

  // A call that ends without a status, because its client has gone before it was read.
  ~Interceptor() override {
    if (!reported_) Report(grpc::StatusCode::CANCELLED);
  }

  void Intercept(InterceptorBatchMethods* methods) override {
    if (!reported_ &&
        methods->QueryInterceptionHookPoint(InterceptionHookPoints::PRE_SEND_STATUS)) {
      Report(methods->GetSendStatus().error_code());
    }
    methods->Proceed();
  }

 private:
  void Report(grpc::StatusCode code) {
    reported_ = true;
    metrics_->Handled(method_, code, metrics_->clock_->Now() - began_);
  }

  RpcMetrics* const metrics_;
  const Method method_;
  const absl::Time began_;
  bool reported_ = false;
};

class RpcMetrics::Factory final : public grpc::experimental::ServerInterceptorFactoryInterface {
 public:
  explicit Factory(RpcMetrics* metrics) : metrics_(metrics) {}

  grpc::experimental::Interceptor* CreateServerInterceptor(ServerRpcInfo* call) override {
    return new Interceptor(metrics_, metrics_->MethodOf(call->method()));
  }

 private:
  RpcMetrics* const metrics_;
};

RpcMetrics::RpcMetrics(prometheus::Registry* registry, const Clock* clock)
    : clock_(clock),
      started_(prometheus::BuildCounter()
                   .Name("grpc_server_started_total")
                   .Help("Calls that began")
                   .Register(*registry)),
      handled_(prometheus::BuildCounter()
                   .Name("grpc_server_handled_total")
                   .Help("Calls that ended, by status code")
                   .Register(*registry)),
      handling_seconds_(prometheus::BuildHistogram()
                            .Name("grpc_server_handling_seconds")
                            .Help("Time from the beginning of a call to its status")
                            .Register(*registry)) {}

void RpcMetrics::Announce(const google::protobuf::ServiceDescriptor& service) {
  for (int i = 0; i < service.method_count(); ++i) {
    const google::protobuf::MethodDescriptor& found = *service.method(i);
    const Method method = {TypeName(found.client_streaming(), found.server_streaming()),
                           std::string(service.full_name()), std::string(found.name())};
    methods_[absl::StrCat("/", method.service, "/", method.name)] = method;
    started_.Add(LabelsOf(method));
    handling_seconds_.Add(LabelsOf(method), SecondsBuckets());
    for (const char* code : kCodeNames) handled_.Add(LabelsOf(method, code));
  }
}

RpcMetrics::Method RpcMetrics::MethodOf(const std::string& path) const {
  const auto found = methods_.find(path);
  return found != methods_.end() ? found->second : Method{"unknown", "unknown", "unknown"};
}

void RpcMetrics::Started(const Method& method) { started_.Add(LabelsOf(method)).Increment(); }

void RpcMetrics::Handled(const Method& method, grpc::StatusCode code, absl::Duration duration) {
  handled_.Add(LabelsOf(method, NameOf(code))).Increment();
  handling_seconds_.Add(LabelsOf(method), SecondsBuckets())
      .Observe(absl::ToDoubleSeconds(duration));
}

std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>
RpcMetrics::MakeInterceptors() {
  return std::make_unique<Factory>(this);
}

}  // namespace ilf
