// Mean and covariance of many pictures' features: how far two such sets lie apart (the Frechet
// distance; Heusel et al., "GANs Trained by a Two Time-Scale Update Rule"), and the map that
// carries one to the other.
#pragma once

#include <cstdint>

#include <ATen/core/Tensor.h>

#include "absl/status/statusor.h"
#include "engine/model/image_classifier.h"
#include "engine/training/image_folder.h"

namespace ilf {

struct FeatureStatistics {
  at::Tensor mean;        // [d] float64
  at::Tensor covariance;  // [d, d] float64
};

// features [n, d], n > 1.
FeatureStatistics StatisticsOf(const at::Tensor& features);

// Of the first `most` pictures of the folder, `batch` at a time; the folder's side is the
// classifier's.
absl::StatusOr<FeatureStatistics> FolderStatistics(const ImageClassifier& classifier,
                                                   const ImageFolder& folder, int64_t most,
                                                   int64_t batch);

// |m1 - m2|^2 + trace(C1 + C2 - 2 sqrt(C1 C2)), never below 0.
double FrechetDistance(const FeatureStatistics& a, const FeatureStatistics& b);

// features [n, d] of statistics `from`, moved so that theirs are `to`, each as little as can be:
// the optimal transport between Gaussians, x -> m2 + R^-1 sqrt(R C2 R) R^-1 (x - m1) with R =
// sqrt(C1) (Peyre and Cuturi, "Computational Optimal Transport", remark 2.31). The mean square
// length of the moves is the Frechet distance. Where `from` does not vary, features keep their
// distance of 0 from the mean. In the dtype of `features`.
at::Tensor Transport(const at::Tensor& features, const FeatureStatistics& from,
                     const FeatureStatistics& to);

// Statistics of the features of what a sampler paints while it learns. Those of its references are
// known; by how much the moments of its pictures differ from those of the same pictures' references
// is a moving mean, which settles over far fewer pictures than the moments themselves would (a
// control variate). Not thread-safe.
class MovingStatistics {
 public:
  // `window`: the mean goes back about so many pictures, fading out exponentially. Until pictures
  // come, the statistics are the references'.
  MovingStatistics(FeatureStatistics references, int64_t window);

  // Features of pictures and of their references, both [n, d]; n > `window` counts as `window`.
  void Add(const at::Tensor& features, const at::Tensor& references);
  FeatureStatistics Now() const;
  const FeatureStatistics& references() const { return references_; }

  // What it has learned, changed in place: [d + 1, d] float32 on the CPU. The shift of the mean,
  // and below it that of the second moment about the references' mean.
  const at::Tensor& shift() const { return shift_; }

 private:
  FeatureStatistics references_;
  int64_t window_;
  at::Tensor shift_;
};

}  // namespace ilf
