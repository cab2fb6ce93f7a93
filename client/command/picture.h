// Pictures in memory, for drawing in a terminal.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "opencv2/core/mat.hpp"

namespace ilf {

// 8-bit RGB (CV_8UC3, red first). INVALID_ARGUMENT when the bytes are no PNG or JPEG.
absl::StatusOr<cv::Mat> DecodePicture(const std::string& bytes);

// The pictures of one request side by side, the latest state of each, in rows of at most kColumns.
// All cells have one size, that of the largest picture seen; smaller ones are scaled up. Not
// thread-safe.
class PictureGrid {
 public:
  static constexpr int kColumns = 4;

  explicit PictureGrid(int pictures) : pictures_(pictures) {}

  // No effect when `index` is out of range.
  void Set(int index, cv::Mat picture);

  int Columns() const { return std::min(static_cast<int>(pictures_.size()), kColumns); }

  // The whole grid; cells that have no picture yet are black. Only after a picture was set.
  cv::Mat Compose() const;

 private:
  std::vector<cv::Mat> pictures_;  // by image index; empty ones have not come yet
  cv::Size cell_;                  // pixels
};

}  // namespace ilf
