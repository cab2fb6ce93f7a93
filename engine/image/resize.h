// Pictures at another size.
#pragma once

#include "absl/status/statusor.h"
#include "engine/image/rgb.h"

namespace ilf {

struct PixelSize {
  int width = 0;
  int height = 0;
};

// The size with the aspect of `size` (each side rounded, at least 1) and a longer side of
// `max_side` pixels; `size` itself when that is 0.
PixelSize FitMaxSide(PixelSize size, int max_side);

// Averages areas where a side shrinks, which keeps fine detail from turning into moire, and
// interpolates bicubically where it grows: a preview's pixels are samples of a smooth picture, and
// blocks would hide its shapes. INVALID_ARGUMENT for a picture or a size that CheckView or
// CheckSize refuses.
absl::StatusOr<RgbBuffer> Resize(const RgbView& view, PixelSize size);

}  // namespace ilf
