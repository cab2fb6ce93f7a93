// Names and writes the image files of one request.
#pragma once

#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ilf/v1/image_generation.pb.h"

namespace ilf {

// Where the images go, by the value of --out:
//   "-"                        standard output; one image only
//   an existing folder, or a   FOLDER/image-SEED.png
//   name that ends in '/'
//   a file name                that file; of several images, "-INDEX" goes before the extension
//   with {index} or {seed}     that file, with the number put in
// A name without an extension gets the one of the picture's format, except that of a device or pipe
// that is there.
class OutputFiles {
 public:
  // Makes the folder that the images go to. INVALID_ARGUMENT for several images on standard output;
  // another error when the folder cannot be made.
  static absl::StatusOr<OutputFiles> Create(const std::string& out, int image_count);

  bool ToStdout() const { return pattern_ == "-"; }

  std::string PathOf(const v1::ImageEvent& image) const;

  // Writes a whole image and returns where to. A file appears complete or not at all, and replaces
  // one of the same name; a device or pipe is written to.
  absl::StatusOr<std::string> Write(const v1::ImageEvent& image) const;

 private:
  explicit OutputFiles(std::string pattern) : pattern_(std::move(pattern)) {}

  std::string pattern_;
};

// The format that a file name's extension asks for, if it is a known one.
std::optional<v1::ImageFormat> FormatOfExtension(const std::string& path);

}  // namespace ilf
