#include "client/client.h"

#include <utility>

#include "absl/time/clock.h"
#include "client/error_details.h"
#include "client/image_assembler.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "grpcpp/client_context.h"
#include "grpcpp/create_channel.h"

namespace ilf {
namespace {

std::shared_ptr<grpc::Channel> Connect(const ClientOptions& options) {
  grpc::ChannelArguments arguments;
  if (!options.service_config.empty()) arguments.SetServiceConfigJSON(options.service_config);
  return grpc::CreateCustomChannel(
      options.address,
      options.credentials ? options.credentials : grpc::InsecureChannelCredentials(), arguments);
}

void SetTimeout(absl::Duration timeout, grpc::ClientContext& context) {
  if (timeout == absl::InfiniteDuration()) return;
  context.set_deadline(absl::ToChronoTime(absl::Now() + timeout));
}

// Hands the events of one stream on, images whole, and sees that they keep to the protocol.
class EventReader {
 public:
  explicit EventReader(const Client::EventCallback& on_event) : on_event_(on_event) {}

  absl::Status Take(v1::GenerateResponse event) {
    if (event.has_image()) {
      auto image = assembler_.Add(std::move(*event.mutable_image()));
      if (!image.ok()) return std::move(image).status();
      if (!image->has_value()) return absl::OkStatus();
      *event.mutable_image() = *std::move(*image);
    } else if (assembler_.InProgress()) {
      return absl::DataLossError("the server sent another event between the chunks of an image");
    }
    completed_ = event.has_completed();
    on_event_(event);
    return absl::OkStatus();
  }

  // Whether the stream may end here.
  absl::Status Finish() const {
    if (completed_) return absl::OkStatus();
    return absl::DataLossError("the stream ended before the request was completed");
  }

 private:
  const Client::EventCallback& on_event_;
  ImageAssembler assembler_;
  bool completed_ = false;
};

}  // namespace

Client::Client(const ClientOptions& options)
    : timeout_(options.timeout),
      channel_(Connect(options)),
      stub_(v1::ImageGenerationService::NewStub(channel_)) {}

absl::Status Client::Generate(const v1::GenerateRequest& request, const EventCallback& on_event,
                              std::stop_token stop) {
  grpc::ClientContext context;
  SetTimeout(timeout_, context);
  const std::stop_callback cancel(std::move(stop), [&context] { context.TryCancel(); });

  EventReader reader(on_event);
  absl::Status broken;
  const auto stream = stub_->Generate(&context, request);
  v1::GenerateResponse event;
  while (stream->Read(&event)) {
    broken = reader.Take(std::move(event));
    if (!broken.ok()) {
      context.TryCancel();
      break;
    }
  }
  const absl::Status status = ToAbslStatus(stream->Finish());
  if (!broken.ok()) return broken;
  return status.ok() ? reader.Finish() : status;
}

absl::StatusOr<v1::ListModelsResponse> Client::ListModels(std::stop_token stop) {
  grpc::ClientContext context;
  SetTimeout(timeout_, context);
  const std::stop_callback cancel(std::move(stop), [&context] { context.TryCancel(); });

  v1::ListModelsResponse response;
  const absl::Status status = ToAbslStatus(stub_->ListModels(&context, {}, &response));
  if (!status.ok()) return status;
  return response;
}

absl::StatusOr<v1::Model> Client::GetModel(const std::string& name, std::stop_token stop) {
  grpc::ClientContext context;
  SetTimeout(timeout_, context);
  const std::stop_callback cancel(std::move(stop), [&context] { context.TryCancel(); });

  v1::GetModelRequest request;
  request.set_name(name);
  v1::GetModelResponse response;
  const absl::Status status = ToAbslStatus(stub_->GetModel(&context, request, &response));
  if (!status.ok()) return status;
  return std::move(*response.mutable_model());
}

absl::StatusOr<grpc::health::v1::HealthCheckResponse> Client::CheckHealth(
    const std::string& service, std::stop_token stop) {
  grpc::ClientContext context;
  SetTimeout(timeout_, context);
  const std::stop_callback cancel(std::move(stop), [&context] { context.TryCancel(); });

  grpc::health::v1::HealthCheckRequest request;
  request.set_service(service);
  grpc::health::v1::HealthCheckResponse response;
  const absl::Status status = ToAbslStatus(
      grpc::health::v1::Health::NewStub(channel_)->Check(&context, request, &response));
  if (!status.ok()) return status;
  return response;
}

}  // namespace ilf
