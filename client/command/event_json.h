// What --json prints: one line of protobuf's JSON mapping for each message.
#pragma once

#include <string>

#include "grpc/health/v1/health.pb.h"
#include "ilf/v1/image_generation.pb.h"

namespace ilf {

// Field names are the proto's own; numbers, strings and flags are printed even where they are zero
// or empty. As the mapping has it, 64-bit integers are strings and durations read "1.5s". The bytes
// of pictures are left out. No line break.
std::string ToJsonLine(const v1::GenerateResponse& event);
std::string ToJsonLine(const v1::ListModelsResponse& models);
std::string ToJsonLine(const v1::Model& model);
std::string ToJsonLine(const grpc::health::v1::HealthCheckResponse& health);

}  // namespace ilf
