// The engine's types to and from the public API's.
#pragma once

#include <optional>
#include <vector>

#include "absl/strings/string_view.h"
#include "engine/api/generation.h"
#include "engine/api/model_info.h"
#include "ilf/v1/image_generation.pb.h"

namespace ilf {

// nullopt for UNSPECIFIED and for values that this server does not know.
std::optional<Solver> FromProto(v1::Solver solver);
std::optional<ImageFormat> FromProto(v1::ImageFormat format);
std::optional<Priority> FromProto(v1::Priority priority);

v1::Solver ToProto(Solver solver);
v1::ImageFormat ToProto(ImageFormat format);
v1::Model ToProto(const ModelInfo& model);

// What `queued` reports beside the engine's event.
struct RequestNames {
  absl::string_view request_id;
  absl::string_view model;
};

// One message for every kind of event but ImageEvent, which gets one for each `max_chunk_bytes`
// begun of its encoded image (at least one).
std::vector<v1::GenerateResponse> ToResponses(Event event, const RequestNames& names,
                                              int max_chunk_bytes);

}  // namespace ilf
