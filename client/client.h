// A client of ilf-server: one object per server, one blocking call per request.
//
//   ilf::Client client({.address = "localhost:50051"});
//   ilf::v1::GenerateRequest request;
//   request.mutable_class_label()->set_name("Sneaker");
//   absl::Status status = client.Generate(request, [](const ilf::v1::GenerateResponse& event) {
//     if (event.has_image()) Save(event.image().data());
//   });
#pragma once

#include <functional>
#include <memory>
#include <stop_token>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "grpc/health/v1/health.pb.h"
#include "grpcpp/channel.h"
#include "grpcpp/security/credentials.h"
#include "ilf/v1/image_generation.grpc.pb.h"

namespace ilf {

struct ClientOptions {
  std::string address = "127.0.0.1:50051";            // any target that gRPC resolves
  absl::Duration timeout = absl::InfiniteDuration();  // of each call; the server honours it too
  // None = plain text. ClientTlsCredentials of tls/credentials.h makes those of TLS, and follows
  // renewed files.
  std::shared_ptr<grpc::ChannelCredentials> credentials = nullptr;
  // gRPC's service config, JSON: how to balance calls between the addresses of the target
  // (round_robin; by default all go to one), and what to try again (deploy/scale-out has examples).
  // "" leaves it to what the target's resolver says. Calls fail where gRPC does not take it.
  std::string service_config = "";
};

// Thread-safe: calls may run at the same time, over one connection.
//
// Every error carries the google.rpc details that the server sent as payloads of the status
// (client/error_details.h reads them). Errors of the client's own: DATA_LOSS when the server breaks
// the protocol (chunks that do not fit, a stream that ends early).
class Client {
 public:
  // Does not connect: an unreachable server shows as UNAVAILABLE in the calls.
  explicit Client(const ClientOptions& options);

  using EventCallback = std::function<void(const v1::GenerateResponse& event)>;

  // Makes images; returns when the stream has ended. `on_event` is called on this thread, in order,
  // with every event; an image arrives as one event that holds all of it, however many chunks it
  // came in. After `stop` is requested (from any thread, `on_event` included) the call ends with
  // CANCELLED soon.
  absl::Status Generate(const v1::GenerateRequest& request, const EventCallback& on_event,
                        std::stop_token stop = {});

  absl::StatusOr<v1::ListModelsResponse> ListModels(std::stop_token stop = {});

  // The model of that name; "" for the only one of the server. NOT_FOUND lists those that there
  // are.
  absl::StatusOr<v1::Model> GetModel(const std::string& name, std::stop_token stop = {});

  // What the server says about "readiness", "liveness", or "" (grpc.health.v1). NOT_FOUND for a
  // service that it does not know.
  absl::StatusOr<grpc::health::v1::HealthCheckResponse> CheckHealth(const std::string& service,
                                                                    std::stop_token stop = {});

 private:
  const absl::Duration timeout_;
  const std::shared_ptr<grpc::Channel> channel_;
  const std::unique_ptr<v1::ImageGenerationService::Stub> stub_;
};

}  // namespace ilf
