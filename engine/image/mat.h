// Between our pictures and OpenCV's; private to this folder.
#pragma once

#include <opencv2/core/mat.hpp>

#include "engine/image/rgb.h"

namespace ilf {

// A header over the view's pixels, which OpenCV must only read.
cv::Mat MatOver(const RgbView& view);

// A copy of an 8-bit, 3-channel Mat, channels in the Mat's order.
RgbBuffer BufferFrom(const cv::Mat& mat);

}  // namespace ilf
