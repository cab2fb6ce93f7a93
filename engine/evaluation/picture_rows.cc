#include "engine/evaluation/picture_rows.h"

#include <algorithm>

#include <torch/types.h>

#include "absl/strings/str_cat.h"
#include "engine/image/rgb.h"
#include "engine/image/sample_sheet.h"
#include "engine/training/sheet.h"

namespace ilf {
namespace {

constexpr int64_t kLabelRoom = 1024;  // pixels, more than the longest cell's name takes

int64_t Factor(int64_t side) { return (kSmallestShownSide + side - 1) / side; }

}  // namespace

at::Tensor Enlarged(const at::Tensor& pictures) {
  const int64_t factor = Factor(std::min(pictures.size(2), pictures.size(3)));
  return pictures.repeat_interleave(factor, 2).repeat_interleave(factor, 3);
}

absl::Status CheckRowsFit(int64_t rows, int64_t columns, int64_t side) {
  const int64_t cell = Factor(side) * side + SheetOptions().padding;
  const int64_t most_rows = (kMaxImageSide - SheetOptions().padding) / cell;
  const int64_t most_columns = (kMaxImageSide - kLabelRoom) / cell;
  if (rows <= most_rows && columns <= most_columns) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      rows, " rows of ", columns, " pictures do not fit on a sheet, which has room for ", most_rows,
      " rows of ", most_columns));
}

absl::Status WritePictureRows(const std::vector<PictureRow>& rows, const std::string& file) {
  if (rows.empty()) return absl::InvalidArgumentError(file + ": a sheet needs rows");
  std::vector<at::Tensor> pictures;
  std::vector<std::string> labels;
  for (const PictureRow& row : rows) {
    if (row.pictures.sizes() != rows[0].pictures.sizes()) {
      return absl::InvalidArgumentError(absl::StrCat(
          file, ": the row ", row.label, " is not shaped like the row ", rows[0].label));
    }
    pictures.push_back(row.pictures);
    labels.push_back(row.label);
  }
  return WriteSheet(Enlarged(at::cat(pictures)), static_cast<int>(rows[0].pictures.size(0)), file,
                    labels);
}

}  // namespace ilf
