// Frechet distance between two sets of features (Heusel et al., "GANs Trained by a Two Time-Scale
// Update Rule").
#pragma once

#include <ATen/core/Tensor.h>

namespace ilf {

// Mean and covariance of features.
struct FeatureStatistics {
  at::Tensor mean;        // [d] float64
  at::Tensor covariance;  // [d, d] float64
};

// features [n, d], n > 1.
FeatureStatistics StatisticsOf(const at::Tensor& features);

// |m1 - m2|^2 + trace(C1 + C2 - 2 sqrt(C1 C2)), never below 0.
double FrechetDistance(const FeatureStatistics& a, const FeatureStatistics& b);

}  // namespace ilf
