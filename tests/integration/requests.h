// Requests for the shipped models, and what comes back.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "grpcpp/grpcpp.h"
#include "ilf/v1/image_generation.grpc.pb.h"
#include "tests/integration/server_process.h"

namespace ilf {

using GenerateStream = std::unique_ptr<grpc::ClientReader<v1::GenerateResponse>>;

// One bag from the shipped model in a few steps, with a fixed seed.
v1::GenerateRequest BagRequest(int steps = 4);

// The same with a guidance scale and an acceleration.
v1::GenerateRequest BagRequest(int steps, double guidance_scale, v1::Acceleration acceleration);

// A picture of the prompt from the shipped model that reads text, in a few steps, with a fixed
// seed.
v1::GenerateRequest PromptRequest(const std::string& prompt, int steps = 4);

// What would run for minutes: for tests that end it themselves.
v1::GenerateRequest EndlessRequest();

struct Outcome {
  grpc::Status status;
  std::vector<v1::GenerateResponse> events;
  std::vector<std::string> images;  // encoded, joined from their chunks, in order of arrival
};

// Reads `stream` to its end.
Outcome ReadToEnd(const GenerateStream& stream);

// The encoded images by image_index.
std::map<int, std::string> ImagesByIndex(const Outcome& outcome);

// The encoded previews by image_index and step.
std::map<std::pair<int, int>, std::string> PreviewsByStep(const Outcome& outcome);

// What ListModels says of the model; empty where it is not there.
v1::Model ModelNamed(const TestClient& client, const std::string& name);

// Makes the call and reads it to its end.
Outcome Generate(const TestClient& client, const v1::GenerateRequest& request);

// A client of its own with one call under way, which ends with it at the latest.
struct Call {
  Call(const ServerProcess& server, const v1::GenerateRequest& request,
       std::optional<std::chrono::system_clock::duration> timeout = std::nullopt)
      : client(server.Client()) {
    if (timeout.has_value()) context.set_deadline(std::chrono::system_clock::now() + *timeout);
    stream = client.images->Generate(&context, request);
  }

  TestClient client;
  grpc::ClientContext context;
  GenerateStream stream;
};

// Makes all calls at once. Another request holds every place of the server (--max_active_images=16)
// until they have come, so that they take their steps together.
std::vector<Outcome> GenerateTogether(const ServerProcess& server,
                                      const std::vector<v1::GenerateRequest>& requests);

// Reads until the event `wanted` comes; false when the stream ends before.
bool ReadUntil(const GenerateStream& stream, v1::GenerateResponse::EventCase wanted);

// The value of the sample `name`, labels included, in the text of /metrics; 0 when it is not there.
double MetricValue(const std::string& metrics, const std::string& name);

}  // namespace ilf
