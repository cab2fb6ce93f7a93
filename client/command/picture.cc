#include "client/command/picture.h"

#include <utility>

#include "absl/status/status.h"
#include "opencv2/imgcodecs.hpp"
#include "opencv2/imgproc.hpp"

namespace ilf {

absl::StatusOr<cv::Mat> DecodePicture(const std::string& bytes) {
  const cv::_InputArray input(bytes.data(), static_cast<int>(bytes.size()));
  cv::Mat picture;
  try {
    if (!bytes.empty()) picture = cv::imdecode(input, cv::IMREAD_COLOR);
  } catch (const cv::Exception& error) {
    return absl::InvalidArgumentError(error.what());
  }
  if (picture.empty()) return absl::InvalidArgumentError("not a PNG or JPEG picture");
  cv::cvtColor(picture, picture, cv::COLOR_BGR2RGB);
  return picture;
}

void PictureGrid::Set(int index, cv::Mat picture) {
  if (index < 0 || index >= static_cast<int>(pictures_.size())) return;
  if (picture.cols > cell_.width) cell_ = picture.size();
  pictures_[index] = std::move(picture);
}

cv::Mat PictureGrid::Compose() const {
  const int count = static_cast<int>(pictures_.size());
  const int columns = Columns();
  const int rows = (count + columns - 1) / columns;
  cv::Mat grid(rows * cell_.height, columns * cell_.width, CV_8UC3, cv::Scalar::all(0));
  for (int i = 0; i < count; ++i) {
    if (pictures_[i].empty()) continue;
    const cv::Point corner(i % columns * cell_.width, i / columns * cell_.height);
    cv::resize(pictures_[i], grid(cv::Rect(corner, cell_)), cell_);
  }
  return grid;
}

}  // namespace ilf
