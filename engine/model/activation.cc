#include "engine/model/activation.h"

#include <cmath>
#include <numbers>

#include <ATen/TensorOperators.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/tanh.h>

namespace ilf {
namespace {

bool UsesOperators(const Execution& execution) {
  return execution.trainable || !execution.batch_invariant || !execution.device.is_cpu();
}

}  // namespace

at::Tensor Silu(const at::Tensor& x, const Execution& execution) {
  if (UsesOperators(execution)) return at::silu(x);
  const at::Tensor y = x.to(at::kFloat);
  return (y / (at::exp(-y) + 1.0)).to(x.scalar_type());
}

at::Tensor GeluTanh(const at::Tensor& x, const Execution& execution) {
  if (UsesOperators(execution)) return at::gelu(x, "tanh");
  const at::Tensor y = x.to(at::kFloat);
  const double slope = std::sqrt(2.0 / std::numbers::pi);
  const at::Tensor inner = (y * y * y * 0.044715 + y) * slope;
  return (y * 0.5 * (at::tanh(inner) + 1.0)).to(x.scalar_type());
}

}  // namespace ilf
