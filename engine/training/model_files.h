// The files of a model directory that the writers share.
#pragma once

#include <string>

#include <nlohmann/json_fwd.hpp>

#include "absl/status/status.h"
#include "engine/training/parameter_set.h"

namespace ilf {

// `folder`/`name`, indented; makes the folder.
absl::Status WriteJson(const std::string& folder, const std::string& name,
                       const nlohmann::ordered_json& json);

// `folder`/diffusion_pytorch_model.safetensors in `dtype`.
absl::Status WriteWeights(const std::string& folder, const NamedTensors& weights,
                          at::ScalarType dtype);

}  // namespace ilf
