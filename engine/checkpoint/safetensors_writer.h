// Writing of safetensors files.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "ATen/core/Tensor.h"
#include "absl/status/status.h"

namespace ilf {

// Writes `tensors` (float32, float16, bfloat16 or int64, any device and strides) to `path`. The
// file appears whole or not at all: it is written and synced beside `path` under another name, then
// renamed. Data starts at multiples of the element size, so that readers need not copy. The same
// input gives the same bytes. INVALID_ARGUMENT for another dtype or a name that occurs twice;
// otherwise the errors of the file system.
absl::Status WriteSafetensors(const std::string& path,
                              const std::vector<std::pair<std::string, at::Tensor>>& tensors,
                              const std::map<std::string, std::string>& metadata);

}  // namespace ilf
