#include "tools/eval_sheet.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_format.h"
#include "engine/base/status_macros.h"
#include "tools/eval_cells.h"

namespace ilf {

absl::Status CheckSheetFits(const EvalOptions& options, const std::vector<Cell>& cells, int side) {
  if (options.sheet.empty()) return absl::OkStatus();
  int64_t rows = 0;
  for (const double guidance : options.guidance_scales) {
    rows += 1 + std::count_if(cells.begin(), cells.end(),
                              [&](const Cell& cell) { return Covers(cell, guidance); });
  }
  const absl::Status status = CheckRowsFit(rows, options.sheet_images, side);
  if (status.ok()) return status;
  return absl::InvalidArgumentError(absl::StrCat(
      "--sheet: ", status.message(),
      "; --only, --guidance and --sheet_images choose fewer, --no_plain and --no_cached too"));
}

absl::Status CellSheet::Add(double guidance, const std::vector<Cell>& cells,
                            const Reference& reference) {
  const Reference shown = reference.Images(0, options_.sheet_images);
  rows_.push_back({"reference", guidance,
                   static_cast<double>(options_.reference_steps * evaluator_.layers()),
                   evaluator_.Decode(shown.final_latents())});
  for (const Cell& cell : cells) {
    if (!Covers(cell, guidance)) continue;
    Measurement cost;
    ILF_ASSIGN_OR_RETURN(const at::Tensor latents, evaluator_.Sample(cell, shown, cost));
    rows_.push_back({cell.name, guidance, cost.block_evaluations, evaluator_.Decode(latents)});
  }
  return absl::OkStatus();
}

absl::Status CellSheet::Write() const {
  std::vector<PictureRow> shown;
  for (const Row& row : rows_) {
    std::string label = absl::StrFormat("%s: %g blocks", row.cell, row.block_evaluations);
    if (options_.guidance_scales.size() > 1) absl::StrAppendFormat(&label, " (%g)", row.guidance);
    shown.push_back({std::move(label), row.pictures});
  }
  ILF_RETURN_IF_ERROR(WritePictureRows(shown, options_.sheet));
  for (size_t i = 0; i < rows_.size(); ++i) {
    absl::PrintF(
        "{\"sheet_row\": %d, \"cell\": \"%s\", \"guidance\": %g, \"block_evaluations\": %g}\n", i,
        rows_[i].cell, rows_[i].guidance, rows_[i].block_evaluations);
  }
  return absl::OkStatus();
}

}  // namespace ilf
