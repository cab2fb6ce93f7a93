// A server in this process that answers as a test tells it to.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "grpc/health/v1/health.grpc.pb.h"
#include "grpcpp/security/server_credentials.h"
#include "grpcpp/server.h"
#include "grpcpp/server_context.h"
#include "ilf/v1/image_generation.grpc.pb.h"

namespace ilf {

// What the server says about health; NOT_FOUND for a service that is not in `statuses`.
class ScriptedHealth final : public grpc::health::v1::Health::Service {
 public:
  std::map<std::string, grpc::health::v1::HealthCheckResponse::ServingStatus> statuses;

 private:
  grpc::Status Check(grpc::ServerContext* context,
                     const grpc::health::v1::HealthCheckRequest* request,
                     grpc::health::v1::HealthCheckResponse* response) override;
};

// Set the scripts before the first call. Calls run them on gRPC's threads.
class ScriptedServer final : public v1::ImageGenerationService::Service {
 public:
  using Writer = grpc::ServerWriter<v1::GenerateResponse>;
  using GenerateScript = std::function<grpc::Status(const v1::GenerateRequest&, Writer&)>;

  explicit ScriptedServer(const std::shared_ptr<grpc::ServerCredentials>& credentials =
                              grpc::InsecureServerCredentials());
  ~ScriptedServer() override;

  const std::string& address() const { return address_; }

  GenerateScript generate = [](const v1::GenerateRequest&, Writer&) { return grpc::Status::OK; };
  v1::ListModelsResponse models;
  ScriptedHealth health;

 private:
  grpc::Status Generate(grpc::ServerContext* context, const v1::GenerateRequest* request,
                        Writer* writer) override;
  grpc::Status ListModels(grpc::ServerContext* context, const v1::ListModelsRequest* request,
                          v1::ListModelsResponse* response) override;
  grpc::Status GetModel(grpc::ServerContext* context, const v1::GetModelRequest* request,
                        v1::GetModelResponse* response) override;

  std::string address_;
  std::unique_ptr<grpc::Server> server_;
};

// The bytes of a PNG of one colour.
std::string SolidPng(int width, int height, int red, int green, int blue);

// The events of a request that goes well, for one image that takes two steps.
v1::GenerateResponse QueuedEvent(int images_ahead = 0);
v1::GenerateResponse StartedEvent();
v1::GenerateResponse StepEvent(int image, int step, int steps);
v1::GenerateResponse PreviewEvent(int image, int step, int steps, const std::string& data);
v1::GenerateResponse ImageEvent(int image, int steps, const std::string& data);
v1::GenerateResponse CompletedEvent(int images);

// Writes step events until the client has gone; answers CANCELLED.
grpc::Status WriteUntilCancelled(ScriptedServer::Writer& writer);

}  // namespace ilf
