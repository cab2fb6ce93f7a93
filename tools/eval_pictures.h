// `ilf-eval --pictures`: a cell's pictures as files, for metrics that others measure.
#pragma once

#include <atomic>
#include <string>

#include "absl/status/status.h"
#include "engine/evaluation/cell.h"
#include "engine/evaluation/evaluator.h"
#include "engine/training/reference.h"

namespace ilf {

// Writes what `cell` makes of `images` to `folder`, as 000000.png, 000001.png, ..., and `identity`,
// which tells these pictures from all others, to the file `identity` there. Pictures that an
// earlier run wrote under this identity stay. INVALID_ARGUMENT where the folder holds those of
// another; CANCELLED once `stop` is set; errors of files otherwise.
absl::Status WriteCellPictures(const Evaluator& evaluator, const Cell& cell,
                               const Reference& images, const std::string& folder,
                               const std::string& identity, const std::atomic<bool>& stop);

}  // namespace ilf
