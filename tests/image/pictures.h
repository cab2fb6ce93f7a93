// Pictures to test with.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "engine/image/rgb.h"

namespace ilf {

inline RgbBuffer Flat(int width, int height, uint8_t red, uint8_t green, uint8_t blue) {
  RgbBuffer picture{width, height, std::vector<uint8_t>(RgbBytes(width, height))};
  for (size_t i = 0; i < picture.pixels.size(); i += 3) {
    picture.pixels[i] = red;
    picture.pixels[i + 1] = green;
    picture.pixels[i + 2] = blue;
  }
  return picture;
}

// Red rises to the right, green downwards, blue stays: no two channels or directions look alike.
inline RgbBuffer Gradient(int width, int height) {
  RgbBuffer picture = Flat(width, height, 0, 0, 40);
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      uint8_t* pixel = &picture.pixels[RgbBytes(width, y) + 3 * x];
      pixel[0] = static_cast<uint8_t>(255 * x / width);
      pixel[1] = static_cast<uint8_t>(255 * y / height);
    }
  }
  return picture;
}

// Largest difference of a channel; 256 for pictures of unequal size.
inline int Difference(const RgbBuffer& a, const RgbBuffer& b) {
  if (a.width != b.width || a.height != b.height) return 256;
  int largest = 0;
  for (size_t i = 0; i < a.pixels.size(); ++i) {
    largest = std::max(largest, std::abs(a.pixels[i] - b.pixels[i]));
  }
  return largest;
}

}  // namespace ilf
