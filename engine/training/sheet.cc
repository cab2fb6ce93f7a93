#include "engine/training/sheet.h"

#include <filesystem>
#include <fstream>
#include <utility>

#include "engine/base/status_macros.h"
#include "engine/image/codec.h"
#include "engine/image/resize.h"
#include "engine/image/sample_sheet.h"
#include "engine/pipeline/diffusion_model.h"

namespace ilf {
namespace {

constexpr int kSmallestSide = 64;  // pixels a picture is shown at, at least

}  // namespace

absl::Status WriteSheet(const at::Tensor& pictures, int columns, const std::string& file,
                        const std::vector<std::string>& row_labels) {
  std::vector<RgbBuffer> buffers;
  for (int64_t i = 0; i < pictures.size(0); ++i) {
    RgbImage picture = ToRgbImage(pictures[i]);
    RgbBuffer rgb{picture.width, picture.height, std::move(picture.pixels)};
    if (rgb.width < kSmallestSide) {
      const int scale = (kSmallestSide + rgb.width - 1) / rgb.width;
      ILF_ASSIGN_OR_RETURN(rgb, Resize(rgb.view(), {rgb.width * scale, rgb.height * scale}));
    }
    buffers.push_back(std::move(rgb));
  }
  std::vector<RgbView> views;
  for (const RgbBuffer& buffer : buffers) views.push_back(buffer.view());
  SheetOptions options;
  options.columns = columns;
  options.row_labels = row_labels;
  ILF_ASSIGN_OR_RETURN(const RgbBuffer sheet, TileImages(views, options));
  ILF_ASSIGN_OR_RETURN(const std::string png, EncodePng(sheet.view()));
  std::error_code error;
  std::filesystem::create_directories(std::filesystem::path(file).parent_path(), error);
  std::ofstream out(file, std::ios::binary);
  out << png;
  out.close();
  if (!out) return absl::UnavailableError(file + ": cannot be written");
  return absl::OkStatus();
}

}  // namespace ilf
