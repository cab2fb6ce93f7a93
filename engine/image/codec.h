// PNG and JPEG, in and out. Thread-safe.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/image/rgb.h"

namespace ilf {

// The same pixels give the same bytes. INVALID_ARGUMENT for a picture that CheckView refuses.
absl::StatusOr<std::string> EncodePng(const RgbView& view);

// `quality` 1 to 100. INVALID_ARGUMENT for another quality or a picture that CheckView refuses.
absl::StatusOr<std::string> EncodeJpeg(const RgbView& view, int quality);

// Any format that OpenCV reads; grey becomes RGB, transparency is dropped, 16 bits become 8, and
// EXIF orientation is applied. INVALID_ARGUMENT for bytes that are no picture.
absl::StatusOr<RgbBuffer> DecodeImage(absl::string_view bytes);

// DecodeImage of a file's bytes; messages name the file. NOT_FOUND when it cannot be read.
absl::StatusOr<RgbBuffer> ReadImage(const std::string& path);

}  // namespace ilf
