// The gRPC side of one Generate call: hands responses to gRPC and gRPC's callbacks to
// GenerateStream.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "engine/api/engine.h"
#include "engine/base/clock.h"
#include "grpcpp/grpcpp.h"
#include "ilf/v1/image_generation.grpc.pb.h"
#include "server/generate_stream.h"
#include "server/stream_observer.h"
#include "server/stream_registry.h"

namespace ilf {

// What all calls share; outlives them.
struct GenerateEnvironment {
  GenerateStreamOptions stream_options;
  StreamObserver* observer;
  StreamRegistry* registry;
  const Clock* clock;
};

// Deletes itself when gRPC is done with it.
class GenerateReactor final : public grpc::ServerWriteReactor<v1::GenerateResponse>,
                              public StreamTransport {
 public:
  // `environment` and `context` outlive the call.
  GenerateReactor(const GenerateEnvironment* environment, grpc::CallbackServerContext* context);

  // Ends the call before the engine has seen it. `model` is "" unless the server has it. Either
  // this or Run is called, once.
  void Refuse(const absl::Status& status, const std::string& request_id, const std::string& model);

  // Submits `request`; `engine` outlives the call.
  void Run(Engine* engine, GenerationRequest request);

  void Write(const v1::GenerateResponse* response) override;
  void Finish(const absl::Status& status) override;
  void Abort() override;

 private:
  // Answers; the last thing that is done to the call.
  void End(const absl::Status& status);

  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  // Logs the request, here and not in End, which engine threads reach: they must not wait for a
  // log.
  void OnDone() override;

  const GenerateEnvironment* const environment_;
  grpc::CallbackServerContext* const context_;
  const absl::Time began_;
  // Set before gRPC or the engine can call back.
  std::shared_ptr<GenerateStream> stream_;  // null for a refused call
  std::string request_id_;
  std::string model_;
  absl::StatusCode outcome_ = absl::StatusCode::kUnknown;
};

}  // namespace ilf
