// Where a classifier's features of the pictures of a run should lie, so that together they are as
// real pictures' are: what a Frechet distance asks for, where an error to the reference asks for
// the reference.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "absl/status/statusor.h"
#include "engine/model/autoencoder_kl.h"
#include "engine/model/image_classifier.h"
#include "engine/training/feature_statistics.h"
#include "engine/training/reference.h"

namespace ilf {

// Of the images of a Reference: what they have, or what they should have. Float32 on the CPU.
struct PictureFeatures {
  at::Tensor values;  // [images, d]
  // [images], 1 or 0. Guidance leads away from what real pictures are as a whole on purpose, so
  // that the images of the least guidance scale count alone.
  at::Tensor counts;

  PictureFeatures Select(const std::vector<int64_t>& images) const;
  // Of those that count. INVALID_ARGUMENT where they are fewer than 2.
  absl::StatusOr<FeatureStatistics> Statistics() const;
};

// A classifier, and the statistics of real pictures' features. Const after construction and
// thread-safe.
class RealFeatures {
 public:
  // `classifier`: a folder of `ilf-train classifier`; `data`: image folder of real pictures.
  // INVALID_ARGUMENT where the classifier knows pictures of another side than `side`; errors of
  // files otherwise.
  static absl::StatusOr<RealFeatures> Load(const std::string& classifier, const std::string& data,
                                           int64_t side, c10::Device device);

  const ImageClassifier& classifier() const { return classifier_; }

  // Of the reference's pictures, without gradients.
  PictureFeatures Of(const Reference& reference, const AutoencoderKl& autoencoder) const;

  // `features`, moved as Transport moves those of statistics `generated` to the real ones'.
  PictureFeatures TargetsOf(const PictureFeatures& features,
                            const FeatureStatistics& generated) const;

  // Frechet distance to the real pictures; Statistics' errors.
  absl::StatusOr<double> Distance(const PictureFeatures& features) const;

 private:
  RealFeatures(ImageClassifier classifier, FeatureStatistics real, c10::Device device)
      : classifier_(std::move(classifier)), real_(std::move(real)), device_(device) {}

  ImageClassifier classifier_;
  FeatureStatistics real_;
  c10::Device device_;
};

// Mean square distance of the features [images, d] that count from their targets; 0 where none
// does. Differentiable.
at::Tensor FeatureError(const at::Tensor& features, const PictureFeatures& targets);

}  // namespace ilf
