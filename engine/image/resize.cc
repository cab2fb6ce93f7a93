#include "engine/image/resize.h"

#include <algorithm>
#include <cmath>
#include <opencv2/imgproc.hpp>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "engine/image/mat.h"

namespace ilf {

PixelSize FitMaxSide(PixelSize size, int max_side) {
  if (max_side == 0) return size;
  const double scale = static_cast<double>(max_side) / std::max(size.width, size.height);
  const auto scaled = [scale](int side) {
    return std::max(1, static_cast<int>(std::lround(side * scale)));
  };
  return {scaled(size.width), scaled(size.height)};
}

absl::StatusOr<RgbBuffer> Resize(const RgbView& view, PixelSize size) {
  ILF_RETURN_IF_ERROR(CheckView(view));
  ILF_RETURN_IF_ERROR(CheckSize(size.width, size.height));
  try {
    const cv::Size shrunk(std::min(view.width, size.width), std::min(view.height, size.height));
    cv::Mat image = MatOver(view);
    if (shrunk != image.size()) {
      cv::Mat smaller;
      cv::resize(image, smaller, shrunk, 0, 0, cv::INTER_AREA);
      image = smaller;
    }
    if (image.size() != cv::Size(size.width, size.height)) {
      cv::Mat larger;
      cv::resize(image, larger, cv::Size(size.width, size.height), 0, 0, cv::INTER_CUBIC);
      image = larger;
    }
    return BufferFrom(image);
  } catch (const cv::Exception& error) {
    return absl::InternalError(absl::StrCat("cannot resize a picture: ", error.what()));
  }
}

}  // namespace ilf
