#include "tests/integration/requests.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace ilf {

v1::GenerateRequest BagRequest(int steps) {
  v1::GenerateRequest request;
  request.set_model("fashion-dit");
  request.mutable_class_label()->set_name("Bag");
  request.set_steps(steps);
  request.set_seed(1234);
  return request;
}

v1::GenerateRequest EndlessRequest() {
  v1::GenerateRequest request = BagRequest(900);
  request.set_image_count(16);
  return request;
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
