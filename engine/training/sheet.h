// Sample sheets of tensors.
#pragma once

#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "absl/status/status.h"

namespace ilf {

// Writes pictures [n, 3, h, w] in [-1, 1] as one PNG, `columns` a row, small ones enlarged.
absl::Status WriteSheet(const at::Tensor& pictures, int columns, const std::string& file,
                        const std::vector<std::string>& row_labels = {});

}  // namespace ilf
