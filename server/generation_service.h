// The public service: checks a call, hands it to the engine, streams what comes back.
#pragma once

#include <atomic>

#include "absl/status/statusor.h"
#include "engine/api/engine.h"
#include "engine/base/clock.h"
#include "grpcpp/grpcpp.h"
#include "ilf/v1/image_generation.grpc.pb.h"
#include "server/generate_reactor.h"
#include "server/limits.h"
#include "server/stream_observer.h"
#include "server/stream_registry.h"

namespace ilf {

// Thread-safe. Answers UNAVAILABLE until Serve, and again after StopAccepting.
class GenerationService final : public v1::ImageGenerationService::CallbackService {
 public:
  // `observer` and `clock` outlive the service.
  GenerationService(const GenerateStreamOptions& stream_options, StreamObserver* observer,
                    const Clock* clock);

  // Passes requests to `engine`, which outlives every call, from now on. Called once.
  void Serve(Engine* engine);

  // Refuses requests from now on; those that run go on.
  void StopAccepting();

  // Cancels the streams whose clients have accepted nothing for too long; returns how many.
  int CancelStalledStreams();

  grpc::ServerWriteReactor<v1::GenerateResponse>* Generate(
      grpc::CallbackServerContext* context, const v1::GenerateRequest* request) override;
  grpc::ServerUnaryReactor* ListModels(grpc::CallbackServerContext* context,
                                       const v1::ListModelsRequest* request,
                                       v1::ListModelsResponse* response) override;
  grpc::ServerUnaryReactor* GetModel(grpc::CallbackServerContext* context,
                                     const v1::GetModelRequest* request,
                                     v1::GetModelResponse* response) override;

 private:
  // The engine, or why there is none to use.
  absl::StatusOr<Engine*> ServingEngine() const;

  const Limits limits_;
  StreamRegistry registry_;
  const GenerateEnvironment environment_;
  std::atomic<Engine*> engine_ = nullptr;
  std::atomic<bool> accepting_ = true;
};

}  // namespace ilf
