#include "tests/client/scripted_server.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "grpcpp/server_builder.h"
#include "opencv2/imgcodecs.hpp"

namespace ilf {

grpc::Status ScriptedHealth::Check(grpc::ServerContext*,
                                   const grpc::health::v1::HealthCheckRequest* request,
                                   grpc::health::v1::HealthCheckResponse* response) {
  const auto found = statuses.find(request->service());
  if (found == statuses.end()) {
    return grpc::Status(grpc::StatusCode::NOT_FOUND, "no such service");
  }
  response->set_status(found->second);
  return grpc::Status::OK;
}

ScriptedServer::ScriptedServer(const std::shared_ptr<grpc::ServerCredentials>& credentials) {
  int port = 0;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:0", credentials, &port);
  builder.RegisterService(this);
  builder.RegisterService(&health);
  server_ = builder.BuildAndStart();
  address_ = absl::StrCat("127.0.0.1:", port);
}

ScriptedServer::~ScriptedServer() { server_->Shutdown(); }

grpc::Status ScriptedServer::Generate(grpc::ServerContext*, const v1::GenerateRequest* request,
                                      Writer* writer) {
  return generate(*request, *writer);
}

grpc::Status ScriptedServer::ListModels(grpc::ServerContext*, const v1::ListModelsRequest*,
                                        v1::ListModelsResponse* response) {
  *response = models;
  return grpc::Status::OK;
}

grpc::Status ScriptedServer::GetModel(grpc::ServerContext*, const v1::GetModelRequest* request,
                                      v1::GetModelResponse* response) {
  for (const v1::Model& model : models.models()) {
    if (model.name() != request->name()) continue;
    *response->mutable_model() = model;
    return grpc::Status::OK;
  }
  return grpc::Status(grpc::StatusCode::NOT_FOUND, "no such model");
}

std::string SolidPng(int width, int height, int red, int green, int blue) {
  std::vector<unsigned char> bytes;
  cv::imencode(".png", cv::Mat(height, width, CV_8UC3, cv::Scalar(blue, green, red)), bytes);
  return std::string(bytes.begin(), bytes.end());
}

v1::GenerateResponse QueuedEvent(int images_ahead) {
  v1::GenerateResponse event;
  event.mutable_queued()->set_request_id("r1");
  event.mutable_queued()->set_model("fashion");
  event.mutable_queued()->set_images_ahead(images_ahead);
  return event;
}

v1::GenerateResponse StartedEvent() {
  v1::GenerateResponse event;
  event.mutable_started()->mutable_queue_wait()->set_nanos(250'000'000);
  return event;
}

v1::GenerateResponse StepEvent(int image, int step, int steps) {
  v1::GenerateResponse event;
  event.mutable_step()->set_image_index(image);
  event.mutable_step()->set_step(step);
  event.mutable_step()->set_steps(steps);
  return event;
}

v1::GenerateResponse PreviewEvent(int image, int step, int steps, const std::string& data) {
  v1::GenerateResponse event;
  event.mutable_preview()->set_image_index(image);
  event.mutable_preview()->set_step(step);
  event.mutable_preview()->set_steps(steps);
  event.mutable_preview()->set_data(data);
  return event;
}

v1::GenerateResponse ImageEvent(int image, int steps, const std::string& data) {
  v1::GenerateResponse event;
  v1::ImageEvent& made = *event.mutable_image();
  made.set_image_index(image);
  made.set_seed(7 + image);
  made.set_format(v1::IMAGE_FORMAT_PNG);
  made.set_width(8);
  made.set_height(8);
  made.set_steps(steps);
  made.set_block_evaluations(112);
  made.set_plain_block_evaluations(112);
  made.set_total_size(static_cast<int64_t>(data.size()));
  made.set_last_chunk(true);
  made.set_data(data);
  return event;
}

v1::GenerateResponse CompletedEvent(int images) {
  v1::GenerateResponse event;
  event.mutable_completed()->set_image_count(images);
  event.mutable_completed()->mutable_total()->set_seconds(2);
  return event;
}

grpc::Status WriteUntilCancelled(ScriptedServer::Writer& writer) {
  while (writer.Write(StepEvent(0, 1, 100))) {
  }
  return grpc::Status(grpc::StatusCode::CANCELLED, "the client has gone");
}

}  // namespace ilf
