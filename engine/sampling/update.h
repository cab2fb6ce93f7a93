// The one solver update: rows at different steps, with different solvers, in the same call.
#pragma once

#include <ATen/core/Tensor.h>

#include "absl/types/span.h"
#include "engine/sampling/step_plan.h"

namespace ilf {

// The coefficients of each row's step, one row each, float32 on the CPU.
at::Tensor StepCoefficients(absl::Span<const PlannedStep> rows);

struct UpdateResult {
  at::Tensor x;   // [B, C, H, W] float32, after the step
  at::Tensor x0;  // [B, C, H, W] float32, the picture that the model predicts
};

// Takes each row of x [B, C, H, W] one step on (step_plan.h has the formula). All tensors are
// float32 on one device; `model_output` and `x0_previous` have the shape of x, `coefficients` comes
// from StepCoefficients. Rows of x0_previous whose step has c == 0 may hold anything, NaN included.
// Reads its arguments only. A row's result depends on that row alone, to the bit.
UpdateResult ApplyUpdate(const at::Tensor& x, const at::Tensor& model_output,
                         const at::Tensor& x0_previous, const at::Tensor& coefficients);

}  // namespace ilf
