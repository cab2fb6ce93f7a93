#include "engine/training/feature_statistics.h"

#include <algorithm>
#include <tuple>
#include <utility>
#include <vector>

#include <torch/types.h>

#include "engine/base/status_macros.h"

namespace ilf {
namespace {

// Eigenvalues below this part of the greatest one are rounding.
constexpr double kLeastEigenvalue = 1e-10;

// Of a symmetric matrix without negative eigenvalues but for rounding, and its pseudo-inverse.
struct SquareRoots {
  at::Tensor root, inverse;
};

SquareRoots SquareRootsOf(const at::Tensor& matrix) {
  const auto [values, vectors] = at::linalg_eigh((matrix + matrix.t()) / 2);
  const at::Tensor roots = values.clamp_min(0).sqrt();
  const at::Tensor varies = values > values.max() * kLeastEigenvalue;
  const at::Tensor inverses = at::where(varies, roots.reciprocal(), at::zeros_like(roots));
  return {vectors.matmul(at::diag(roots)).matmul(vectors.t()),
          vectors.matmul(at::diag(inverses)).matmul(vectors.t())};
}

}  // namespace

FeatureStatistics StatisticsOf(const at::Tensor& features) {
  const at::Tensor x = features.to(at::kCPU, at::kDouble);
  const at::Tensor mean = x.mean(0);
  const at::Tensor centred = x - mean;
  return {mean, centred.t().matmul(centred) / static_cast<double>(x.size(0) - 1)};
}

absl::StatusOr<FeatureStatistics> FolderStatistics(const ImageClassifier& classifier,
                                                   const ImageFolder& folder, int64_t most,
                                                   int64_t batch) {
  at::NoGradGuard no_grad;
  std::vector<at::Tensor> features;
  const int64_t count = std::min(most, folder.size());
  for (int64_t begin = 0; begin < count; begin += batch) {
    std::vector<int64_t> indices;
    for (int64_t i = begin; i < std::min(begin + batch, count); ++i) indices.push_back(i);
    ILF_ASSIGN_OR_RETURN(const at::Tensor pictures, folder.Images(indices));
    features.push_back(classifier.Features(pictures).to(at::kCPU));
  }
  return StatisticsOf(at::cat(features));
}

double FrechetDistance(const FeatureStatistics& a, const FeatureStatistics& b) {
  // sqrt(C1 C2) has the trace of sqrt(R C2 R) with R = sqrt(C1), which is symmetric.
  const at::Tensor root = SquareRootsOf(a.covariance).root;
  const at::Tensor product = root.matmul(b.covariance).matmul(root);
  const at::Tensor values = at::linalg_eigvalsh((product + product.t()) / 2);
  const double cross = values.clamp_min(0).sqrt().sum().item<double>();
  const double means = (a.mean - b.mean).square().sum().item<double>();
  const double traces = (a.covariance.trace() + b.covariance.trace()).item<double>();
  return std::max(0.0, means + traces - 2.0 * cross);
}

at::Tensor Transport(const at::Tensor& features, const FeatureStatistics& from,
                     const FeatureStatistics& to) {
  const SquareRoots roots = SquareRootsOf(from.covariance);
  const at::Tensor middle = SquareRootsOf(roots.root.matmul(to.covariance).matmul(roots.root)).root;
  const at::Tensor map = roots.inverse.matmul(middle).matmul(roots.inverse);
  const at::Tensor centred = features.to(at::kCPU, at::kDouble) - from.mean;
  return (to.mean + centred.matmul(map)).to(features.scalar_type());
}

MovingStatistics::MovingStatistics(FeatureStatistics references, int64_t window)
    : references_(std::move(references)), window_(window) {
  const int64_t width = references_.mean.size(0);
  shift_ = at::zeros({width + 1, width}, at::kFloat);
}

void MovingStatistics::Add(const at::Tensor& features, const at::Tensor& references) {
  const int64_t count = features.size(0);
  if (count == 0) return;
  const at::Tensor x = features.to(at::kCPU, at::kDouble) - references_.mean;
  const at::Tensor r = references.to(at::kCPU, at::kDouble) - references_.mean;
  const at::Tensor moment = (x.t().matmul(x) - r.t().matmul(r)) / static_cast<double>(count);
  const at::Tensor shift = at::cat({(x - r).mean(0, /*keepdim=*/true), moment});
  shift_.lerp_(shift.to(at::kFloat), std::min(1.0, static_cast<double>(count) / window_));
}

FeatureStatistics MovingStatistics::Now() const {
  const at::Tensor shift = shift_.to(at::kDouble);
  const at::Tensor mean = shift[0];
  return {references_.mean + mean, references_.covariance + shift.slice(0, 1) - mean.outer(mean)};
}

}  // namespace ilf
