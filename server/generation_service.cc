#include "server/generation_service.h"

#include <algorithm>
#include <chrono>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "server/conversion.h"
#include "server/error_details.h"
#include "server/request_validation.h"

namespace ilf {
namespace {

absl::Time CallDeadline(const grpc::CallbackServerContext& context) {
  const std::chrono::system_clock::time_point deadline = context.deadline();
  if (deadline == std::chrono::system_clock::time_point::max()) return absl::InfiniteFuture();
  return absl::FromChrono(deadline);
}

}  // namespace

GenerationService::GenerationService(const GenerateStreamOptions& stream_options,
                                     StreamObserver* observer, const Clock* clock)
    : environment_{stream_options, observer, &registry_, clock} {}

void GenerationService::Serve(Engine* engine) { engine_ = engine; }

void GenerationService::StopAccepting() { accepting_ = false; }

int GenerationService::CancelStalledStreams() { return registry_.CancelStalled(); }

absl::StatusOr<Engine*> GenerationService::ServingEngine() const {
  if (!accepting_) return absl::UnavailableError("the server is shutting down");
  Engine* const engine = engine_;
  if (engine == nullptr) return absl::UnavailableError("the server is loading its models");
  return engine;
}

grpc::ServerWriteReactor<v1::GenerateResponse>* GenerationService::Generate(
    grpc::CallbackServerContext* context, const v1::GenerateRequest* request) {
  auto* const reactor = new GenerateReactor(&environment_, context);
  const std::string& id = request->request_id();

  const absl::StatusOr<Engine*> engine = ServingEngine();
  if (!engine.ok()) {
    reactor->Refuse(engine.status(), id, "");
    return reactor;
  }
  const absl::StatusOr<const ModelInfo*> model = ChooseModel((*engine)->Models(), *request);
  if (!model.ok()) {
    reactor->Refuse(model.status(), id, "");
    return reactor;
  }
  absl::StatusOr<GenerationRequest> valid =
      ValidateRequest(*request, **model, limits_, DrawServerChoices());
  if (!valid.ok()) {
    reactor->Refuse(valid.status(), id, (*model)->name);
    return reactor;
  }
  valid->deadline = CallDeadline(*context);
  reactor->Run(*engine, *std::move(valid));
  return reactor;
}

grpc::ServerUnaryReactor* GenerationService::ListModels(grpc::CallbackServerContext* context,
                                                        const v1::ListModelsRequest* /*request*/,
                                                        v1::ListModelsResponse* response) {
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  const absl::StatusOr<Engine*> engine = ServingEngine();
  if (!engine.ok()) {
    reactor->Finish(ToGrpcStatus(WithRetryDelay(engine.status(), kUnavailableRetryDelay)));
    return reactor;
  }
  std::vector<const ModelInfo*> models;
  for (const ModelInfo& model : (*engine)->Models()) models.push_back(&model);
  std::sort(models.begin(), models.end(),
            [](const ModelInfo* a, const ModelInfo* b) { return a->name < b->name; });
  for (const ModelInfo* model : models) *response->add_models() = ToProto(*model);
  reactor->Finish(grpc::Status::OK);
  return reactor;
}

grpc::ServerUnaryReactor* GenerationService::GetModel(grpc::CallbackServerContext* context,
                                                      const v1::GetModelRequest* request,
                                                      v1::GetModelResponse* response) {
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  const absl::StatusOr<Engine*> engine = ServingEngine();
  if (!engine.ok()) {
    reactor->Finish(ToGrpcStatus(WithRetryDelay(engine.status(), kUnavailableRetryDelay)));
    return reactor;
  }
  const absl::StatusOr<const ModelInfo*> model =
      FindModel((*engine)->Models(), request->name(), "name");
  if (model.ok()) *response->mutable_model() = ToProto(**model);
  reactor->Finish(ToGrpcStatus(model.status()));
  return reactor;
}

}  // namespace ilf
