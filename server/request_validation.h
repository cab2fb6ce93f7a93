// From what a client sent to what the engine takes: every field checked, every default filled in.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "engine/api/generation.h"
#include "engine/api/model_info.h"
#include "ilf/v1/image_generation.pb.h"
#include "server/limits.h"

namespace ilf {

// What the server picks for a request that leaves it out.
struct ServerChoices {
  std::string request_id;
  uint64_t seed = 0;
};

// Random ones.
ServerChoices DrawServerChoices();

// The model that a request names in `field`, or the only one where it names none. NOT_FOUND lists
// what there is; INVALID_ARGUMENT where a name is needed. The result points into `models`.
absl::StatusOr<const ModelInfo*> FindModel(absl::Span<const ModelInfo> models,
                                           const std::string& name, const std::string& field);

// The model that `request` names; where it names none, the only one that takes what it gives, a
// label or a prompt. Errors as FindModel's.
absl::StatusOr<const ModelInfo*> ChooseModel(absl::Span<const ModelInfo> models,
                                             const v1::GenerateRequest& request);

// A request that fulfils the promise of engine/api/generation.h; its deadline is left to the
// caller.
//   INVALID_ARGUMENT     google.rpc.BadRequest names every field that breaks a limit
//   FAILED_PRECONDITION  all fields are well formed, but `model` cannot do it; google.rpc.ErrorInfo
absl::StatusOr<GenerationRequest> ValidateRequest(const v1::GenerateRequest& request,
                                                  const ModelInfo& model, const Limits& limits,
                                                  const ServerChoices& choices);

}  // namespace ilf
