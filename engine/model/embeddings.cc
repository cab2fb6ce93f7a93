#include "engine/model/embeddings.h"

#include <cmath>

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/cos.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/outer.h>
#include <ATen/ops/pow.h>
#include <ATen/ops/sin.h>

namespace ilf {
namespace {

constexpr double kMaxPeriod = 10000.0;

// [n] -> [n, dim]: sines, then cosines.
at::Tensor SinCos(const at::Tensor& positions, int64_t dim) {
  const at::Tensor exponents = at::arange(dim / 2, at::kDouble) / (dim / 2.0);
  const at::Tensor frequencies = 1.0 / at::pow(kMaxPeriod, exponents);
  const at::Tensor angles = at::outer(positions.reshape({-1}), frequencies);
  return at::cat({at::sin(angles), at::cos(angles)}, 1);
}

at::Tensor Coordinates(int64_t count, int64_t base, double interpolation_scale) {
  return at::arange(count, at::kDouble) / (static_cast<double>(count) / base) / interpolation_scale;
}

}  // namespace

at::Tensor PositionEmbedding(int64_t dim, int64_t height, int64_t width, int64_t base,
                             double interpolation_scale) {
  const at::Tensor columns = Coordinates(width, base, interpolation_scale);
  const at::Tensor rows = Coordinates(height, base, interpolation_scale);
  const at::Tensor x = columns.unsqueeze(0).expand({height, width});
  const at::Tensor y = rows.unsqueeze(1).expand({height, width});
  return at::cat({SinCos(x, dim / 2), SinCos(y, dim / 2)}, 1).to(at::kFloat);
}

at::Tensor TimestepEmbedding(const at::Tensor& timesteps, int64_t dim, double frequency_shift) {
  const int64_t half = dim / 2;
  // In float32 and in this order: angles reach 1000, where another rounding shows in the fourth
  // digit.
  at::Tensor exponents = at::arange(half, timesteps.options().dtype(at::kFloat));
  exponents = exponents * -std::log(kMaxPeriod) / (half - frequency_shift);
  const at::Tensor angles = timesteps.unsqueeze(1).to(at::kFloat) * at::exp(exponents).unsqueeze(0);
  return at::cat({at::cos(angles), at::sin(angles)}, 1);
}

}  // namespace ilf
