#include "engine/training/feature_pull.h"

#include <algorithm>
#include <limits>
#include <utility>

#include <torch/types.h>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"

namespace ilf {
namespace {

constexpr int64_t kBatch = 256;           // pictures
constexpr int64_t kWindow = 384;          // pictures that a sampler's statistics go back
constexpr double kLeastDistance = 1e-12;  // what is divided by, at least

at::Tensor CountsOf(const std::vector<double>& guidance_scales) {
  const double least = *std::min_element(guidance_scales.begin(), guidance_scales.end());
  return at::tensor(guidance_scales, at::kDouble).eq(least);
}

}  // namespace

PictureFeatures PictureFeatures::Select(const std::vector<int64_t>& images) const {
  const at::Tensor indices = at::tensor(images, at::kLong);
  return {values.index_select(0, indices), counts.index_select(0, indices)};
}

at::Tensor PictureFeatures::Counted() const { return values.index({counts}); }

absl::StatusOr<FeatureStatistics> PictureFeatures::Statistics() const {
  if (counts.sum().item<int64_t>() < 2) {
    return absl::InvalidArgumentError(
        "features need two images of the least guidance scale, or more");
  }
  return StatisticsOf(Counted());
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
      FolderStatistics(loaded, folder, std::numeric_limits<int64_t>::max(), kBatch));
  return RealFeatures(std::move(loaded), std::move(real), device);
}

at::Tensor RealFeatures::ValuesOf(const at::Tensor& pictures) const {
  at::NoGradGuard no_grad;
  return classifier_.Features(pictures.to(device_, at::kFloat)).to(at::kCPU);
}

PictureFeatures RealFeatures::Of(const at::Tensor& pictures,
                                 const std::vector<double>& guidance_scales) const {
  return {ValuesOf(pictures), CountsOf(guidance_scales)};
}

PictureFeatures RealFeatures::OfDecoded(const at::Tensor& latents,
                                        const std::vector<double>& guidance_scales,
                                        const AutoencoderKl& autoencoder) const {
  at::NoGradGuard no_grad;
  std::vector<at::Tensor> values;
  for (const at::Tensor& part : latents.split(kBatch)) {
    values.push_back(ValuesOf(autoencoder.DecodeScaled(part.to(device_))));
  }
  return {at::cat(values), CountsOf(guidance_scales)};
}

absl::StatusOr<std::unique_ptr<FeaturePull>> FeaturePull::Create(const RealFeatures& real,
                                                                 PictureFeatures references) {
  ILF_ASSIGN_OR_RETURN(const FeatureStatistics statistics, references.Statistics());
  return absl::WrapUnique(new FeaturePull(real.statistics(), statistics, std::move(references)));
}

FeaturePull::FeaturePull(FeatureStatistics real, const FeatureStatistics& references,
                         PictureFeatures features)
    : real_(std::move(real)),
      references_(std::move(features)),
      start_(std::max(FrechetDistance(references, real_), kLeastDistance)),
      sampler_(references, kWindow) {}

at::Tensor FeaturePull::Error(int64_t turn, const std::vector<int64_t>& images,
                              const at::Tensor& features) {
  const PictureFeatures references = references_.Select(images);
  const at::Tensor counted = features.index({references.counts.to(features.device())});
  if (counted.size(0) == 0) return features.sum() * 0.0;
  const at::Tensor seen = counted.detach().to(at::kCPU);
  FeatureStatistics sampler;
  {
    std::lock_guard lock(mutex_);
    sampler = sampler_.Now();
    pending_[turn] = {seen, references.Counted()};
  }
  const at::Tensor targets = Transport(seen, sampler, real_).to(features.device());
  return (counted - targets).square().sum(1).mean() / start_;
}

double FeaturePull::Distance(const at::Tensor& features, const at::Tensor& references) const {
  const FeatureStatistics to = StatisticsOf(features);
  const FeatureStatistics from = StatisticsOf(references);
  const FeatureStatistics& all = sampler_.references();
  const FeatureStatistics sampler = {all.mean + to.mean - from.mean,
                                     all.covariance + to.covariance - from.covariance};
  return FrechetDistance(sampler, real_) / start_;
}

void FeaturePull::Settle() {
  for (const auto& [turn, pair] : pending_) sampler_.Add(pair.first, pair.second);
  pending_.clear();
}

}  // namespace ilf
