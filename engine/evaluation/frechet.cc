#include "engine/evaluation/frechet.h"

#include <algorithm>
#include <tuple>

#include <torch/types.h>

namespace ilf {
namespace {

// Of a symmetric matrix without negative eigenvalues but for rounding.
at::Tensor SquareRoot(const at::Tensor& matrix) {
  const auto [values, vectors] = at::linalg_eigh(matrix);
  return vectors.matmul(at::diag(values.clamp_min(0).sqrt())).matmul(vectors.t());
}

}  // namespace

FeatureStatistics StatisticsOf(const at::Tensor& features) {
  const at::Tensor x = features.to(at::kCPU, at::kDouble);
  const at::Tensor mean = x.mean(0);
  const at::Tensor centred = x - mean;
  return {mean, centred.t().matmul(centred) / static_cast<double>(x.size(0) - 1)};
}

double FrechetDistance(const FeatureStatistics& a, const FeatureStatistics& b) {
  // sqrt(C1 C2) has the trace of sqrt(R C2 R) with R = sqrt(C1), which is symmetric.
  const at::Tensor root = SquareRoot(a.covariance);
  const at::Tensor product = root.matmul(b.covariance).matmul(root);
  const at::Tensor values = at::linalg_eigvalsh((product + product.t()) / 2);
  const double cross = values.clamp_min(0).sqrt().sum().item<double>();
  const double means = (a.mean - b.mean).square().sum().item<double>();
  const double traces = (a.covariance.trace() + b.covariance.trace()).item<double>();
  return std::max(0.0, means + traces - 2.0 * cross);
}

}  // namespace ilf
