#include "engine/training/noise_loss.h"

#include <vector>

#include <torch/types.h>

namespace ilf {

namespace {

at::Tensor WeightOf(const at::Tensor& snr, const WeightingOptions& weighting) {
  if (weighting.kind == LossWeighting::kDebiased) return snr.rsqrt();
  if (weighting.snr_gamma > 0) return snr.clamp_max(weighting.snr_gamma) / snr;
  return at::ones_like(snr);
}

}  // namespace

NoiseLevels NoiseLevelsOf(const NoiseSchedule& schedule, const WeightingOptions& weighting,
                          c10::Device device) {
  std::vector<double> alphas;
  for (int t = 0; t < schedule.num_train_timesteps(); ++t)
    alphas.push_back(schedule.AlphaCumprod(t));
  const at::Tensor alpha = at::tensor(alphas, at::kDouble);
  const at::Tensor weight = WeightOf(alpha / (1.0 - alpha), weighting);
  const auto place = [&](const at::Tensor& levels) { return levels.to(device, at::kFloat); };
  return {place(alpha.sqrt()), place((1.0 - alpha).sqrt()), place(weight)};
}

at::Tensor NoiseLoss(const Transformer& model, const NoiseLevels& levels, const at::Tensor& latents,
                     const RowConditions& rows, const at::Generator& generator) {
  const c10::Device device = latents.device();
  const int64_t count = latents.size(0);
  const int64_t timesteps = levels.signal.size(0);
  const at::Tensor u = (at::arange(count) + at::rand({count}, generator)) / count;
  const at::Tensor t = (u * timesteps).to(at::kLong).clamp_max(timesteps - 1).to(device);
  const at::Tensor noise = at::randn(latents.sizes(), generator).to(device);
  const at::Tensor noisy = levels.signal.index_select(0, t).view({-1, 1, 1, 1}) * latents +
                           levels.noise.index_select(0, t).view({-1, 1, 1, 1}) * noise;
  const at::Tensor predicted = model(noisy, t.to(at::kFloat), rows).to(at::kFloat);
  const at::Tensor error = (predicted - noise).square().mean({1, 2, 3});
  return (levels.weight.index_select(0, t) * error).mean();
}

}  // namespace ilf
