#include "engine/image/rgb.h"

#include "absl/strings/str_cat.h"

namespace ilf {

absl::Status CheckSize(int width, int height) {
  const auto in_range = [](int side) { return side >= 1 && side <= kMaxImageSide; };
  if (in_range(width) && in_range(height)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "picture of ", width, "x", height, " pixels: each side must be 1 to ", kMaxImageSide));
}

absl::Status CheckView(const RgbView& view) {
  if (view.pixels == nullptr) return absl::InvalidArgumentError("picture without pixels");
  return CheckSize(view.width, view.height);
}

}  // namespace ilf
