#include "engine/image/codec.h"

#include <fstream>
#include <iterator>
#include <limits>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "engine/image/mat.h"

namespace ilf {
namespace {

// zlib's level. As fast as level 1 on pictures of 2 to 5 megapixels; level 4 saved up to 20 % of
// the bytes there and took up to half as long again.
constexpr int kPngCompression = 3;

absl::StatusOr<std::string> Encode(const RgbView& view, const char* extension,
                                   const std::vector<int>& parameters) {
  ILF_RETURN_IF_ERROR(CheckView(view));
  try {
    cv::Mat bgr;
    cv::cvtColor(MatOver(view), bgr, cv::COLOR_RGB2BGR);
    std::vector<uint8_t> bytes;
    if (!cv::imencode(extension, bgr, bytes, parameters)) {
      return absl::InternalError(absl::StrCat("cannot encode a ", extension, " picture"));
    }
    return std::string(bytes.begin(), bytes.end());
  } catch (const cv::Exception& error) {
    return absl::InternalError(absl::StrCat("cannot encode a picture: ", error.what()));
  }
}

}  // namespace

absl::StatusOr<std::string> EncodePng(const RgbView& view) {
  return Encode(view, ".png", {cv::IMWRITE_PNG_COMPRESSION, kPngCompression});
}

absl::StatusOr<std::string> EncodeJpeg(const RgbView& view, int quality) {
  if (quality < 1 || quality > 100) {
    return absl::InvalidArgumentError(absl::StrCat("JPEG quality must be 1 to 100, got ", quality));
  }
  return Encode(view, ".jpg", {cv::IMWRITE_JPEG_QUALITY, quality});
}

absl::StatusOr<RgbBuffer> DecodeImage(absl::string_view bytes) {
  if (bytes.empty() || bytes.size() > std::numeric_limits<int>::max()) {
    return absl::InvalidArgumentError("not a picture: no bytes or too many");
  }
  try {
    const cv::Mat raw(1, static_cast<int>(bytes.size()), CV_8UC1, const_cast<char*>(bytes.data()));
    const cv::Mat bgr = cv::imdecode(raw, cv::IMREAD_COLOR);
    if (bgr.empty()) return absl::InvalidArgumentError("not a picture that can be decoded");
    ILF_RETURN_IF_ERROR(CheckSize(bgr.cols, bgr.rows));
    cv::Mat rgb;
    cv::cvtColor(bgr, rgb, cv::COLOR_BGR2RGB);
    return BufferFrom(rgb);
  } catch (const cv::Exception& error) {
    return absl::InvalidArgumentError(absl::StrCat("not a picture: ", error.what()));
  }
}

absl::StatusOr<RgbBuffer> ReadImage(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  if (!file.is_open() || file.bad()) {
    return absl::NotFoundError(absl::StrCat(path, ": cannot be read"));
  }
  absl::StatusOr<RgbBuffer> image = DecodeImage(bytes);
  if (image.ok()) return image;
  return absl::Status(image.status().code(), absl::StrCat(path, ": ", image.status().message()));
}

}  // namespace ilf
