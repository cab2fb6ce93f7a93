#include "engine/evaluation/evaluator.h"

#include <algorithm>
#include <cstdio>
#include <utility>
#include <vector>

#include <torch/types.h>

#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "engine/base/status_macros.h"
#include "engine/training/plan_fit.h"

namespace ilf {
namespace {

constexpr size_t kBatchesBetweenLines = 16;  // of progress

double MedianRmse(const at::Tensor& painted, const at::Tensor& pictures) {
  const at::Tensor errors = (painted - pictures).square().flatten(1).mean(1).sqrt();
  return errors.quantile(0.5).item<double>();
}

}  // namespace

absl::StatusOr<at::Tensor> Evaluator::Sample(const Cell& cell, const Reference& reference,
                                             Measurement& cost) const {
  const absl::Time start = absl::Now();
  at::Tensor latents;
  if (cell.cache) {
    ILF_ASSIGN_OR_RETURN(const StepPlan plan, MakeFeedbackStepPlan(cell.schedule, cell.plan));
    const CachedRun run = RunCached(model_.denoiser(), plan, *cell.cache, reference, batch_,
                                    model_.execution().device);
    latents = run.latents;
    cost.block_evaluations = run.block_evaluations;
  } else {
    Denoiser denoiser = model_.denoiser();
    if (cell.silent) denoiser.feedback = silent_;
    ILF_ASSIGN_OR_RETURN(latents, RunPlan(denoiser, cell.schedule, cell.plan, reference,
                                          {.batch = batch_, .device = model_.execution().device}));
    const size_t fed_back = cell.plan.feedback.size();
    cost.block_evaluations =
        static_cast<double>((cell.plan.steps - fed_back) * denoiser.BlocksOf(PassKind::kPlain));
    if (fed_back > 0) {
      cost.block_evaluations +=
          static_cast<double>(fed_back * denoiser.BlocksOf(PassKind::kFeedback));
    }
  }
  cost.seconds =
      absl::ToDoubleSeconds(absl::Now() - start) / static_cast<double>(reference.images());
  return latents;
}

absl::StatusOr<Measurement> Evaluator::Compare(const Cell& cell, const Reference& reference,
                                               const at::Tensor& pictures) const {
  Measurement measurement;
  ILF_ASSIGN_OR_RETURN(const at::Tensor latents, Sample(cell, reference, measurement));
  measurement.latent_rmse = Rmse(latents, reference.final_latents());
  const at::Tensor painted = Decode(latents);
  measurement.rmse = Rmse(painted, pictures);
  measurement.median_rmse = MedianRmse(painted, pictures);
  return measurement;
}

absl::StatusOr<PictureQuality> Evaluator::Judge(const Cell& cell, const Reference& images,
                                                const ImageClassifier& classifier,
                                                const FeatureStatistics& real,
                                                const std::atomic<bool>& stop) const {
  at::NoGradGuard no_grad;
  std::vector<at::Tensor> parts;
  for (int64_t begin = 0; begin < images.images(); begin += batch_) {
    if (stop) return absl::CancelledError("stopped; the same command goes on from there");
    const int64_t end = std::min(begin + batch_, images.images());
    Measurement cost;
    ILF_ASSIGN_OR_RETURN(const at::Tensor latents,
                         Sample(cell, images.Images(begin, end - begin), cost));
    parts.push_back(classifier.Features(DecodeBatch(latents)));
    if (parts.size() % kBatchesBetweenLines == 0 || end == images.images()) {
      absl::FPrintF(stderr, "judge: %s, %d of %d pictures\n", cell.name, end, images.images());
    }
  }
  const at::Tensor features = at::cat(parts);
  const at::Tensor named = classifier.Logits(features).argmax(1).to(at::kCPU);
  std::vector<int64_t> classes;
  for (const Subject& subject : images.subjects) classes.push_back(subject.class_index);
  const double right = named.eq(at::tensor(classes)).to(at::kDouble).mean().item<double>();
  return PictureQuality{FrechetDistance(StatisticsOf(features), real), right};
}

at::Tensor Evaluator::Decode(const at::Tensor& latents) const {
  at::NoGradGuard no_grad;
  std::vector<at::Tensor> pictures;
  for (const at::Tensor& part : latents.split(batch_)) {
    pictures.push_back(DecodeBatch(part).to(at::kCPU));
  }
  return at::cat(pictures);
}

at::Tensor Evaluator::DecodeBatch(const at::Tensor& latents) const {
  return model_.autoencoder()
      .DecodeScaled(latents.to(model_.execution().device))
      .clamp(-1, 1)
      .to(at::kFloat);
}

}  // namespace ilf
