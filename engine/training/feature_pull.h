// A classifier's features of the pictures that a run paints, and a pull on them by which they come
// to lie, taken together, as real pictures' do: what a Frechet distance asks for, where an error to
// the reference asks for the reference.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include "absl/status/statusor.h"
#include "engine/model/autoencoder_kl.h"
#include "engine/model/image_classifier.h"
#include "engine/training/feature_statistics.h"

namespace ilf {

// Of the images of a Reference, on the CPU.
struct PictureFeatures {
  at::Tensor values;  // [images, d] float32
  // [images] bool. Guidance leads away from what real pictures are as a whole on purpose, so
  // that the images of the least guidance scale count alone.
  at::Tensor counts;

  PictureFeatures Select(const std::vector<int64_t>& images) const;
  at::Tensor Counted() const;  // [images that count, d]
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

  // Of `pictures` [images, channels, h, w] in [-1, 1], without gradients.
  PictureFeatures Of(const at::Tensor& pictures, const std::vector<double>& guidance_scales) const;
  // Of the pictures that `autoencoder` makes of `latents` [images, channels, h, w], a part at a
  // time.
  PictureFeatures OfDecoded(const at::Tensor& latents, const std::vector<double>& guidance_scales,
                            const AutoencoderKl& autoencoder) const;

  const FeatureStatistics& statistics() const { return real_; }

 private:
  RealFeatures(ImageClassifier classifier, FeatureStatistics real, c10::Device device)
      : classifier_(std::move(classifier)), real_(std::move(real)), device_(device) {}

  at::Tensor ValuesOf(const at::Tensor& pictures) const;  // [images, d] float32, on the CPU

  ImageClassifier classifier_;
  FeatureStatistics real_;
  c10::Device device_;
};

// The pull on what one sampler paints, as it learns. Thread-safe, but for Settle.
class FeaturePull {
 public:
  // `references`: of the noises that it paints from. INVALID_ARGUMENT where too few of them count
  // (PictureFeatures::Statistics).
  static absl::StatusOr<std::unique_ptr<FeaturePull>> Create(const RealFeatures& real,
                                                             PictureFeatures references);

  // A scalar whose gradient is that of the Frechet distance between what the sampler paints and
  // real pictures, by a batch of the pictures, and whose mean is that distance, relative to that of
  // the references: the mean square distance of the features from where Transport carries them from
  // the sampler's statistics to the real ones'. (The derivative of the Frechet distance by a
  // picture's features x is 2/n (x - T x), T the transport.) The sampler's statistics are those of
  // the pictures before the last Settle. `features` [n, d] of the pictures of the noises `images`;
  // `turn` orders the calls between two Settles, so that the threads' order does not matter. 0
  // where no picture counts.
  at::Tensor Error(int64_t turn, const std::vector<int64_t>& images, const at::Tensor& features);

  // The distance that Error's mean is, of a sampler that moves the mean and covariance of its
  // references' features as it does those of a few: `features` of pictures and `references` of
  // their references, of any noises, [n, d] with n > 1. Of the n pictures alone it would be far
  // too great where n is not much greater than d.
  double Distance(const at::Tensor& features, const at::Tensor& references) const;

  // Counts the pictures since the last Settle as the sampler's.
  void Settle();

  // What it knows of the sampler (MovingStatistics::shift).
  const at::Tensor& shift() const { return sampler_.shift(); }

 private:
  FeaturePull(FeatureStatistics real, const FeatureStatistics& references,
              PictureFeatures features);

  const FeatureStatistics real_;
  const PictureFeatures references_;
  const double start_;  // Frechet distance of the references to the real pictures
  MovingStatistics sampler_;
  std::mutex mutex_;
  std::map<int64_t, std::pair<at::Tensor, at::Tensor>> pending_;  // features, references; by turn
};

}  // namespace ilf
