#include "engine/evaluation/cached_sampling.h"

#include <algorithm>
#include <utility>
#include <vector>

#include <torch/types.h>

#include "absl/strings/str_cat.h"
#include "engine/sampling/update.h"

namespace ilf {
namespace {

// What the cached blocks added to the residual stream at a full step.
struct Residual {
  at::Tensor value;
  double timestep = 0.0;
};

class CachedDenoiser {
 public:
  CachedDenoiser(const Transformer& model, const CachePolicy& policy)
      : model_(model), policy_(policy) {}

  at::Tensor Forward(const at::Tensor& x, double timestep, const RowConditions& rows, int step) {
    const at::Tensor timesteps = at::full({x.size(0)}, timestep, x.options());
    const absl::Span<const at::Tensor> latents(&x, 1);
    const TransformerCondition condition =
        model_.Condition(timesteps, rows, model_.LayoutOf(latents));
    const BlockRange cached = policy_.blocks;
    at::Tensor h = model_.RunBlocks(model_.Embed(latents), {0, cached.begin}, condition);
    if (step % policy_.period == 0) {
      const at::Tensor out = model_.RunBlocks(h, cached, condition);
      before_ = std::exchange(latest_, {out - h, timestep});
      h = out;
      blocks_run_ += cached.end - cached.begin;
    } else {
      h = h + Forecast(timestep);
    }
    blocks_run_ += model_.config().num_layers - (cached.end - cached.begin);
    h = model_.RunBlocks(h, {cached.end, model_.config().num_layers}, condition);
    return model_.Finish(h, condition).front();
  }

  int64_t blocks_run() const { return blocks_run_; }

 private:
  at::Tensor Forecast(double timestep) const {
    if (policy_.kind == CacheKind::kBlocks || !before_.value.defined()) return latest_.value;
    const double part = (timestep - latest_.timestep) / (latest_.timestep - before_.timestep);
    return latest_.value + (latest_.value - before_.value) * part;
  }

  const Transformer& model_;
  const CachePolicy& policy_;
  Residual latest_, before_;
  int64_t blocks_run_ = 0;  // per row
};

CachedRun RunBatch(const Denoiser& model, const StepPlan& plan, const CachePolicy& policy,
                   const Reference& reference, c10::Device device) {
  CachedDenoiser denoiser(*model.transformer, policy);
  std::vector<Trajectory> images = StartImages(model, plan, reference, device);
  const RowConditions rows = RowConditionsOf(model, PointersTo(images));
  std::vector<int64_t> guided;
  for (int64_t i = 0; i < reference.images(); ++i) {
    if (images[i].guided()) guided.push_back(i);
  }
  const at::Tensor unconditional = at::tensor(guided, at::kLong).to(device);
  at::Tensor x = LatentsOf(images);
  at::Tensor x0 = at::zeros_like(x);
  for (size_t i = 0; i < plan.steps.size(); ++i) {
    const PlannedStep& step = plan.steps[i];
    const at::Tensor input = x * step.c_in;
    const at::Tensor output =
        denoiser.Forward(at::cat({input, input.index_select(0, unconditional)}), step.timestep,
                         rows, static_cast<int>(i));
    const at::Tensor eps =
        CombineGuidance(output, model.transformer->config().in_channels, reference.guidance_scales);
    const std::vector<PlannedStep> steps(images.size(), step);
    const UpdateResult result = ApplyUpdate(x, eps, x0, StepCoefficients(steps).to(device));
    x = result.x;
    x0 = result.x0;
  }
  return {x.to(at::kCPU), static_cast<double>(denoiser.blocks_run())};
}

}  // namespace

std::string CachePolicy::Name() const {
  return absl::StrCat(kind == CacheKind::kBlocks ? "blocks" : "taylor", " every ", period, ", ",
                      blocks.begin, "-", blocks.end);
}

CachedRun RunCached(const Denoiser& model, const StepPlan& plan, const CachePolicy& policy,
                    const Reference& reference, int64_t batch, c10::Device device) {
  at::NoGradGuard no_grad;
  CachedRun all;
  std::vector<at::Tensor> latents;
  for (int64_t begin = 0; begin < reference.images(); begin += batch) {
    const int64_t count = std::min(batch, reference.images() - begin);
    CachedRun part = RunBatch(model, plan, policy, reference.Images(begin, count), device);
    latents.push_back(part.latents);
    all.block_evaluations = part.block_evaluations;
  }
  all.latents = at::cat(latents);
  return all;
}

}  // namespace ilf
