#include "engine/image/mat.h"

#include "engine/base/check.h"

namespace ilf {

cv::Mat MatOver(const RgbView& view) {
  return cv::Mat(view.height, view.width, CV_8UC3, const_cast<uint8_t*>(view.pixels));
}

RgbBuffer BufferFrom(const cv::Mat& mat) {
  Check(mat.type() == CV_8UC3, "picture must have 3 channels of 8 bits");
  RgbBuffer buffer{mat.cols, mat.rows, std::vector<uint8_t>(RgbBytes(mat.cols, mat.rows))};
  cv::Mat target = MatOver(buffer.view());
  mat.copyTo(target);
  return buffer;
}

}  // namespace ilf
