#include "client/command/event_json.h"

#include "google/protobuf/util/json_util.h"
#include "nlohmann/json.hpp"

namespace ilf {
namespace {

std::string ToJson(const google::protobuf::Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.always_print_primitive_fields = true;
  options.preserve_proto_field_names = true;
  std::string json;
  // Fails only for an Any of an unknown type, and there is none in the protocol.
  const auto status = google::protobuf::util::MessageToJsonString(message, &json, options);
  return status.ok() ? json : "{}";
}

}  // namespace

std::string ToJsonLine(const v1::GenerateResponse& event) {
  v1::GenerateResponse without_bytes = event;
  if (event.has_preview()) without_bytes.mutable_preview()->clear_data();
  if (event.has_image()) without_bytes.mutable_image()->clear_data();
  auto json = nlohmann::ordered_json::parse(ToJson(without_bytes));
  for (auto& [name, fields] : json.items()) fields.erase("data");
  return json.dump();
}

std::string ToJsonLine(const v1::ListModelsResponse& models) { return ToJson(models); }

std::string ToJsonLine(const v1::Model& model) { return ToJson(model); }

std::string ToJsonLine(const grpc::health::v1::HealthCheckResponse& health) {
  return ToJson(health);
}

}  // namespace ilf
