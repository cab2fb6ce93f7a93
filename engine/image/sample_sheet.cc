#include "engine/image/sample_sheet.h"

#include <algorithm>
#include <cstdint>
#include <opencv2/imgproc.hpp>

#include "absl/status/status.h"
#include "engine/base/status_macros.h"
#include "engine/image/mat.h"

namespace ilf {
namespace {

constexpr int kFont = cv::FONT_HERSHEY_SIMPLEX;
constexpr double kFontScale = 0.45;
constexpr int kLabelMargin = 6;  // pixels left and right of the labels

struct SheetLayout {
  int label_width = 0;
  int cell_width = 0;  // a picture and the padding before it
  int cell_height = 0;
  int width = 0;
  int height = 0;
};

int LabelWidth(const std::vector<std::string>& labels) {
  int widest = 0;
  for (const std::string& label : labels) {
    int baseline = 0;
    widest = std::max(widest, cv::getTextSize(label, kFont, kFontScale, 1, &baseline).width);
  }
  return widest == 0 ? 0 : widest + 2 * kLabelMargin;
}

absl::StatusOr<SheetLayout> LayOut(absl::Span<const RgbView> images, const SheetOptions& options) {
  if (images.empty()) return absl::InvalidArgumentError("a sheet needs pictures");
  if (options.columns < 1 || options.columns > kMaxImageSide || options.padding < 0 ||
      options.padding > kMaxImageSide) {
    return absl::InvalidArgumentError("a sheet needs columns >= 1 and padding >= 0");
  }
  for (const RgbView& image : images) {
    ILF_RETURN_IF_ERROR(CheckView(image));
    if (image.width != images[0].width || image.height != images[0].height) {
      return absl::InvalidArgumentError("the pictures of a sheet must be of one size");
    }
  }
  SheetLayout layout;
  layout.label_width = LabelWidth(options.row_labels);
  layout.cell_width = images[0].width + options.padding;
  layout.cell_height = images[0].height + options.padding;
  const int64_t rows =
      (static_cast<int64_t>(images.size()) + options.columns - 1) / options.columns;
  const int64_t width = layout.label_width + options.padding +
                        static_cast<int64_t>(options.columns) * layout.cell_width;
  const int64_t height = options.padding + rows * layout.cell_height;
  layout.width = static_cast<int>(std::min<int64_t>(width, INT32_MAX));
  layout.height = static_cast<int>(std::min<int64_t>(height, INT32_MAX));
  ILF_RETURN_IF_ERROR(CheckSize(layout.width, layout.height));
  return layout;
}

void DrawLabels(const SheetLayout& layout, const SheetOptions& options, cv::Mat& sheet) {
  for (size_t row = 0; row < options.row_labels.size(); ++row) {
    const std::string& label = options.row_labels[row];
    int baseline = 0;
    const cv::Size text = cv::getTextSize(label, kFont, kFontScale, 1, &baseline);
    const int middle = static_cast<int>(row) * layout.cell_height + options.padding +
                       (layout.cell_height - options.padding) / 2;
    cv::putText(sheet, label, cv::Point(kLabelMargin, middle + text.height / 2), kFont, kFontScale,
                cv::Scalar::all(0), 1, cv::LINE_AA);
  }
}

}  // namespace

absl::StatusOr<RgbBuffer> TileImages(absl::Span<const RgbView> images,
                                     const SheetOptions& options) {
  ILF_ASSIGN_OR_RETURN(const SheetLayout layout, LayOut(images, options));
  cv::Mat sheet(layout.height, layout.width, CV_8UC3, cv::Scalar::all(255));
  for (size_t i = 0; i < images.size(); ++i) {
    const int row = static_cast<int>(i) / options.columns;
    const int column = static_cast<int>(i) % options.columns;
    const cv::Rect place(layout.label_width + options.padding + column * layout.cell_width,
                         options.padding + row * layout.cell_height, images[i].width,
                         images[i].height);
    MatOver(images[i]).copyTo(sheet(place));
  }
  DrawLabels(layout, options, sheet);
  return BufferFrom(sheet);
}

}  // namespace ilf
