// Pictures as this folder takes and gives them: interleaved 8-bit RGB, rows top to bottom, no
// padding.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"

namespace ilf {

// The longest side of a picture, in pixels.
inline constexpr int kMaxImageSide = 16384;

// Borrowed pixels: 3 * width * height bytes, which must outlive the view.
struct RgbView {
  int width = 0;
  int height = 0;
  const uint8_t* pixels = nullptr;
};

// Owned pixels.
struct RgbBuffer {
  int width = 0;
  int height = 0;
  std::vector<uint8_t> pixels;

  RgbView view() const { return {width, height, pixels.data()}; }
};

// Bytes of a picture of this size.
inline size_t RgbBytes(int width, int height) {
  return 3 * static_cast<size_t>(width) * static_cast<size_t>(height);
}

// INVALID_ARGUMENT unless both sides are 1 to kMaxImageSide.
absl::Status CheckSize(int width, int height);

// CheckSize, and pixels must be there.
absl::Status CheckView(const RgbView& view);

}  // namespace ilf
