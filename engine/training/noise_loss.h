// What a base model learns: to predict the noise in a noisy latent.
#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include "engine/model/transformer.h"
#include "engine/sampling/noise_schedule.h"

namespace ilf {

// What a timestep's squared error of the noise counts, by its signal-to-noise ratio.
enum class LossWeighting {
  kMinSnr,    // min(SNR, gamma) / SNR (Hang et al., "Efficient Diffusion Training via Min-SNR
              // Weighting Strategy"); 1 throughout when gamma is 0
  kDebiased,  // 1 / sqrt(SNR) (Yu et al., "Debias the Training of Diffusion Models"): an error at
              // much noise, which the prediction of the picture multiplies with it, counts for more
};

struct WeightingOptions {
  LossWeighting kind = LossWeighting::kMinSnr;
  double snr_gamma = 5.0;  // with kMinSnr
};

// By timestep, [timesteps] float32: signal sqrt(alpha_cumprod), noise sqrt(1 - alpha_cumprod), and
// weight.
struct NoiseLevels {
  at::Tensor signal, noise, weight;
};

NoiseLevels NoiseLevelsOf(const NoiseSchedule& schedule, const WeightingOptions& weighting,
                          c10::Device device);

// Weighted mean squared error of the noise predicted for latents [images, channels, h, w] under
// `rows`, one an image. Timesteps are stratified over the batch: each has the uniform distribution,
// together they cover the schedule evenly, which lowers the variance of the gradient. Timesteps and
// noise come from `generator`.
at::Tensor NoiseLoss(const Transformer& model, const NoiseLevels& levels, const at::Tensor& latents,
                     const RowConditions& rows, const at::Generator& generator);

}  // namespace ilf
