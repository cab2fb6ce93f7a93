// The sizes that PixArt models were trained at, by aspect ratio (diffusers' ASPECT_RATIO_256_BIN,
// 512, 1024 and 2048, and its use_resolution_binning).
#pragma once

#include <cstdint>

#include "absl/types/span.h"

namespace ilf {

struct ResolutionBin {
  double ratio = 1.0;  // height / width, as the tables name it
  int height = 0;      // pixels
  int width = 0;       // pixels
};

// Of a model with latents of this side, 8 pixels a cell; empty where there is no table.
absl::Span<const ResolutionBin> ResolutionBinsOf(int64_t sample_size);

// The bin whose ratio is nearest; the first of equals. `bins` is not empty.
const ResolutionBin& ClosestBin(absl::Span<const ResolutionBin> bins, int height, int width);

}  // namespace ilf
