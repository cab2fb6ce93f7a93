// The files of a model directory that the writers share.
#pragma once

#include <string>

#include <nlohmann/json_fwd.hpp>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "engine/training/parameter_set.h"

namespace ilf {

// Writes the file as a whole or leaves it as it was. UNAVAILABLE names it.
absl::Status ReplaceFile(const std::string& file, absl::string_view bytes);

// `folder`/`name`, indented; makes the folder. The file is replaced as a whole.
absl::Status WriteJson(const std::string& folder, const std::string& name,
                       const nlohmann::ordered_json& json);

// `folder`/`name` in `dtype`.
absl::Status WriteWeights(const std::string& folder, const NamedTensors& weights,
                          at::ScalarType dtype,
                          const std::string& name = "diffusion_pytorch_model.safetensors");

}  // namespace ilf
