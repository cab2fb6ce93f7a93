#include "tests/integration/requests.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "gtest/gtest.h"

namespace ilf {

v1::GenerateRequest BagRequest(int steps) {
  v1::GenerateRequest request;
  request.set_model("fashion-dit");
  request.mutable_class_label()->set_name("Bag");
  request.set_steps(steps);
  request.set_seed(1234);
  return request;
}

v1::GenerateRequest BagRequest(int steps, double guidance_scale, v1::Acceleration acceleration) {
  v1::GenerateRequest request = BagRequest(steps);
  request.set_guidance_scale(guidance_scale);
  request.set_acceleration(acceleration);
  return request;
}

v1::GenerateRequest PromptRequest(const std::string& prompt, int steps) {
  v1::GenerateRequest request;
  request.set_model("emoji-pixart");
  request.mutable_text_prompt()->set_prompt(prompt);
  request.set_steps(steps);
  request.set_seed(77);
  return request;
}

v1::GenerateRequest EndlessRequest() {
  v1::GenerateRequest request = BagRequest(900);
  request.set_image_count(16);
  return request;
}

v1::Model ModelNamed(const TestClient& client, const std::string& name) {
  grpc::ClientContext context;
  v1::ListModelsResponse response;
  if (!client.images->ListModels(&context, {}, &response).ok()) return {};
  for (const v1::Model& model : response.models()) {
    if (model.name() == name) return model;
  }
  return {};
}

Outcome ReadToEnd(const GenerateStream& stream) {
  Outcome outcome;
  v1::GenerateResponse response;
  while (stream->Read(&response)) {
    if (response.has_image()) {
      if (response.image().chunk_offset() == 0) outcome.images.emplace_back();
      outcome.images.back() += response.image().data();
    }
    outcome.events.push_back(response);
  }
  outcome.status = stream->Finish();
  return outcome;
}

std::vector<Outcome> GenerateTogether(const ServerProcess& server,
                                      const std::vector<v1::GenerateRequest>& requests) {
  Call holder(server, EndlessRequest());
  EXPECT_TRUE(ReadUntil(holder.stream, v1::GenerateResponse::kStep));
  std::vector<std::unique_ptr<Call>> calls;
  for (const v1::GenerateRequest& request : requests) {
    calls.push_back(std::make_unique<Call>(server, request));
    EXPECT_TRUE(ReadUntil(calls.back()->stream, v1::GenerateResponse::kQueued));
  }
  holder.context.TryCancel();
  std::vector<Outcome> outcomes;
  for (const auto& call : calls) outcomes.push_back(ReadToEnd(call->stream));
  return outcomes;
}

std::map<int, std::string> ImagesByIndex(const Outcome& outcome) {
  std::map<int, std::string> images;
  for (const v1::GenerateResponse& event : outcome.events) {
    if (event.has_image()) images[event.image().image_index()] += event.image().data();
  }
  return images;
}

std::map<std::pair<int, int>, std::string> PreviewsByStep(const Outcome& outcome) {
  std::map<std::pair<int, int>, std::string> previews;
  for (const v1::GenerateResponse& event : outcome.events) {
    const v1::PreviewEvent& preview = event.preview();
    if (event.has_preview()) previews[{preview.image_index(), preview.step()}] = preview.data();
  }
  return previews;
}

Outcome Generate(const TestClient& client, const v1::GenerateRequest& request) {
  grpc::ClientContext context;
  return ReadToEnd(client.images->Generate(&context, request));
}

bool ReadUntil(const GenerateStream& stream, v1::GenerateResponse::EventCase wanted) {
  v1::GenerateResponse response;
  while (stream->Read(&response)) {
    if (response.event_case() == wanted) return true;
  }
  return false;
}

double MetricValue(const std::string& metrics, const std::string& name) {
  const std::string prefix = absl::StrCat(name, " ");
  for (absl::string_view line : absl::StrSplit(metrics, '\n')) {
    double value = 0;
    if (absl::ConsumePrefix(&line, prefix) && absl::SimpleAtod(line, &value)) return value;
  }
  return 0;
}

}  // namespace ilf
