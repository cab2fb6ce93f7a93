// Many pictures on one sheet.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/image/rgb.h"

namespace ilf {

struct SheetOptions {
  int columns = 1;  // >= 1
  int padding = 2;  // pixels of background around every picture, >= 0
  // Text to the left of each row, from the first on; rows may be left without. Characters outside
  // of printable ASCII show as '?'.
  std::vector<std::string> row_labels;
};

// The pictures in rows, left to right and top to bottom, on white; the last row may be short. They
// must be of one size. INVALID_ARGUMENT for no pictures, unequal sizes, bad options, or a sheet
// that CheckSize refuses.
absl::StatusOr<RgbBuffer> TileImages(absl::Span<const RgbView> images, const SheetOptions& options);

}  // namespace ilf
