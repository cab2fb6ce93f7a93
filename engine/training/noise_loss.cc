#include "engine/training/noise_loss.h"

#include <vector>

#include <torch/types.h>

namespace ilf {

NoiseLevels NoiseLevelsOf(const NoiseSchedule& schedule, double snr_gamma, c10::Device device) {
  std::vector<double> alphas;
  for (int t = 0; t < schedule.num_train_timesteps(); ++t)
    alphas.push_back(schedule.AlphaCumprod(t));
  const at::Tensor alpha = at::tensor(alphas, at::kDouble);
  const at::Tensor snr = alpha / (1.0 - alpha);
  const at::Tensor weight = snr_gamma > 0 ? snr.clamp_max(snr_gamma) / snr : at::ones_like(snr);
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
