// What a base model learns: to predict the noise in a noisy latent.
#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include "engine/model/transformer.h"
#include "engine/sampling/noise_schedule.h"

namespace ilf {

// By timestep, [timesteps] float32: signal sqrt(alpha_cumprod), noise sqrt(1 - alpha_cumprod), and
// weight: of a timestep's squared error, min(SNR, gamma) / SNR (Hang et al., "Efficient Diffusion
// Training via Min-SNR Weighting Strategy", for epsilon prediction); 1 throughout when gamma is 0.
struct NoiseLevels {
  at::Tensor signal, noise, weight;
};

NoiseLevels NoiseLevelsOf(const NoiseSchedule& schedule, double snr_gamma, c10::Device device);

// Weighted mean squared error of the noise predicted for latents [images, channels, h, w] under
// `rows`, one an image. Timesteps are stratified over the batch: each has the uniform distribution,
// together they cover the schedule evenly, which lowers the variance of the gradient. Timesteps and
// noise come from `generator`.
at::Tensor NoiseLoss(const Transformer& model, const NoiseLevels& levels, const at::Tensor& latents,
                     const RowConditions& rows, const at::Generator& generator);

}  // namespace ilf
