// The cells that ilf-eval's flags choose.
#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "engine/evaluation/cell.h"
#include "engine/pipeline/diffusion_model.h"
#include "tools/eval_options.h"

namespace ilf {

// Plain plans, those of --plans, the model's own with feedback, block caching, in this order.
// INVALID_ARGUMENT names the flag: a --plans that is not NAME=FILE or runs feedback that the model
// has no module for, an --only and --except that leave no cell unless --neighbours gives something
// else to do; errors of the plan files. It names the cell that the model's schedule has too few
// timesteps for.
absl::StatusOr<std::vector<Cell>> MakeCells(const EvalOptions& options,
                                            const DiffusionModel& model);

// Whether `cell` is measured under this guidance scale.
bool Covers(const Cell& cell, double guidance);

}  // namespace ilf
