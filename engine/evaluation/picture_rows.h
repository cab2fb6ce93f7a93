// Sheets on which every row stands for something: a way of sampling, a kind of neighbour.
#pragma once

#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "absl/status/status.h"

namespace ilf {

inline constexpr int64_t kSmallestShownSide = 64;  // pixels

struct PictureRow {
  std::string label;    // shown to the left
  at::Tensor pictures;  // [columns, 3, h, w] in [-1, 1]
};

// Every pixel as a square of so many that both sides of a picture are kSmallestShownSide or more,
// [n, 3, factor * h, factor * w]: an eye that judges a sampler must see its pixels, not an
// interpolation of them.
at::Tensor Enlarged(const at::Tensor& pictures);

// Whether so many rows of so many pictures fit on a sheet; INVALID_ARGUMENT otherwise.
// `side`: of the pictures before they are enlarged, pixels.
absl::Status CheckRowsFit(int64_t rows, int64_t columns, int64_t side);

// Writes the rows as one PNG, top to bottom, with Enlarged pictures; makes the folder it lies in.
// INVALID_ARGUMENT for no rows, rows of unequal shapes or a sheet too large; UNAVAILABLE for a file
// that cannot be written.
absl::Status WritePictureRows(const std::vector<PictureRow>& rows, const std::string& file);

}  // namespace ilf
