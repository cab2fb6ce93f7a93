#include "engine/training/feature_targets.h"

#include <algorithm>
#include <limits>
#include <utility>

#include <torch/types.h>

#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"

namespace ilf {
namespace {

constexpr int64_t kBatch = 256;  // pictures

at::Tensor CountsOf(const std::vector<double>& guidance_scales) {
  const double least = *std::min_element(guidance_scales.begin(), guidance_scales.end());
  return at::tensor(guidance_scales, at::kDouble).eq(least).to(at::kFloat);
}

}  // namespace

PictureFeatures PictureFeatures::Select(const std::vector<int64_t>& images) const {
  const at::Tensor indices = at::tensor(images, at::kLong);
  return {values.index_select(0, indices), counts.index_select(0, indices)};
}

absl::StatusOr<FeatureStatistics> PictureFeatures::Statistics() const {
  if (counts.sum().item<double>() < 2) {
    return absl::InvalidArgumentError(
        "features need two images of the least guidance scale, or more");
  }
  return StatisticsOf(values.index({counts.to(at::kBool)}));
}

absl::StatusOr<RealFeatures> RealFeatures::Load(const std::string& classifier,
                                                const std::string& data, int64_t side,
                                                c10::Device device) {
  ILF_ASSIGN_OR_RETURN(ImageClassifier loaded, ImageClassifier::LoadDirectory(classifier, device));
  if (loaded.config().image_size != side) {
    return absl::InvalidArgumentError(absl::StrCat(classifier, ": knows pictures of side ",
                                                   loaded.config().image_size,
                                                   ", the model's have ", side));
  }
  ILF_ASSIGN_OR_RETURN(const ImageFolder folder, ImageFolder::Open(data, static_cast<int>(side)));
  ILF_ASSIGN_OR_RETURN(
      FeatureStatistics real,
      FolderStatistics(loaded, folder, std::numeric_limits<int64_t>::max(), kBatch, device));
  return RealFeatures(std::move(loaded), std::move(real), device);
}

PictureFeatures RealFeatures::Of(const Reference& reference,
                                 const AutoencoderKl& autoencoder) const {
  at::NoGradGuard no_grad;
  std::vector<at::Tensor> features;
  for (const at::Tensor& part : reference.final_latents().split(kBatch)) {
    const at::Tensor pictures = autoencoder.DecodeScaled(part.to(device_));
    features.push_back(classifier_.Features(pictures.to(at::kFloat)).to(at::kCPU));
  }
  return {at::cat(features), CountsOf(reference.guidance_scales)};
}

PictureFeatures RealFeatures::TargetsOf(const PictureFeatures& features,
                                        const FeatureStatistics& generated) const {
  return {Transport(features.values, generated, real_), features.counts};
}

absl::StatusOr<double> RealFeatures::Distance(const PictureFeatures& features) const {
  ILF_ASSIGN_OR_RETURN(const FeatureStatistics statistics, features.Statistics());
  return FrechetDistance(statistics, real_);
}

at::Tensor FeatureError(const at::Tensor& features, const PictureFeatures& targets) {
  const at::Tensor counts = targets.counts.to(features.device());
  const at::Tensor squares = (features - targets.values.to(features.device())).square().sum(1);
  return (squares * counts).sum() / counts.sum().clamp_min(1);
}

}  // namespace ilf
