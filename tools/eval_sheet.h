// `ilf-eval --sheet`: what cells make of the same noises, to look at.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "engine/evaluation/cell.h"
#include "engine/evaluation/evaluator.h"
#include "engine/evaluation/picture_rows.h"
#include "engine/training/reference.h"
#include "tools/eval_options.h"

namespace ilf {

// INVALID_ARGUMENT that names --sheet where it could not hold all cells. `side`: of the model's
// pictures, pixels.
absl::Status CheckSheetFits(const EvalOptions& options, const std::vector<Cell>& cells, int side);

// Collects rows until they are written. Not thread-safe.
class CellSheet {
 public:
  // Both outlive the sheet.
  CellSheet(const EvalOptions& options, const Evaluator& evaluator)
      : options_(options), evaluator_(evaluator) {}

  // A row of the reference's first --sheet_images pictures, and a row of every cell that covers
  // `guidance`.
  absl::Status Add(double guidance, const std::vector<Cell>& cells, const Reference& reference);

  // Writes --sheet, rows labelled with the cell and its cost, and one JSON line a row to stdout.
  absl::Status Write() const;

 private:
  struct Row {
    std::string cell;
    double guidance = 0.0;
    double block_evaluations = 0.0;  // of an image, per row
    at::Tensor pictures;             // [--sheet_images, 3, side, side]
  };

  const EvalOptions& options_;
  const Evaluator& evaluator_;
  std::vector<Row> rows_;
};

}  // namespace ilf
