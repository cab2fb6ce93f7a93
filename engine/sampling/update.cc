#include "engine/sampling/update.h"

#include <ATen/ops/clamp.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/mul.h>

#include "engine/base/check.h"

namespace ilf {
namespace {

enum Column { kP, kQ, kClip, kA, kB, kC, kE, kStepCoefficients };

}  // namespace

at::Tensor StepCoefficients(absl::Span<const PlannedStep> rows) {
  at::Tensor coefficients =
      at::empty({static_cast<int64_t>(rows.size()), kStepCoefficients}, at::kFloat);
  float* out = coefficients.mutable_data_ptr<float>();
  for (const PlannedStep& row : rows) {
    for (const double value : {row.p, row.q, row.clip, row.a, row.b, row.c, row.e}) {
      *out++ = static_cast<float>(value);
    }
  }
  return coefficients;
}

UpdateResult ApplyUpdate(const at::Tensor& x, const at::Tensor& model_output,
                         const at::Tensor& x0_previous, const at::Tensor& coefficients) {
  Check(x.dim() == 4 && x.scalar_type() == at::kFloat, "latents must be float32 [B, C, H, W]");
  Check(model_output.sizes() == x.sizes() && x0_previous.sizes() == x.sizes(),
        "model_output and x0_previous must have the shape of x");
  Check(coefficients.dim() == 2 && coefficients.size(0) == x.size(0) &&
            coefficients.size(1) == kStepCoefficients,
        "coefficients must have one row per row of x");
  const auto column = [&](Column index) {
    return coefficients.select(1, index).reshape({-1, 1, 1, 1});  // [B, 1, 1, 1]
  };
  // Products and sums stay separate operations: a fused one may round differently in a vector's
  // tail.
  const at::Tensor clip = column(kClip);
  const at::Tensor x0 =
      at::clamp(at::mul(x, column(kP)).add_(at::mul(model_output, column(kQ))), clip.neg(), clip);
  const at::Tensor c = column(kC);
  const at::Tensor history = at::mul(x0_previous, c).masked_fill_(c.eq(0), 0.0f);
  at::Tensor next = at::mul(x, column(kA));
  next.add_(at::mul(x0, column(kB))).add_(history).add_(at::mul(model_output, column(kE)));
  return {next, x0};
}

}  // namespace ilf
