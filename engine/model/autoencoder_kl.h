// The autoencoder between pixels and latents (Rombach et al., "High-Resolution Image Synthesis with
// Latent Diffusion Models"; diffusers AutoencoderKL).
#pragma once

#include <vector>

#include <ATen/core/Tensor.h>

#include "absl/status/statusor.h"
#include "engine/checkpoint/state_dict.h"
#include "engine/model/autoencoder_config.h"
#include "engine/model/execution.h"
#include "engine/model/vae_layers.h"

namespace ilf {

// Mean and log-variance of the latent's diagonal Gaussian, each [images, latent_channels, h, w];
// the log-variance is clamped to [-30, 20].
struct LatentDistribution {
  at::Tensor mean;
  at::Tensor log_variance;
};

class VaeEncoder {
 public:
  static absl::StatusOr<VaeEncoder> Load(const AutoencoderConfig& config, StateDict& weights,
                                         const Execution& execution);
  LatentDistribution operator()(const at::Tensor& images) const;

 private:
  struct Level {
    std::vector<ResnetBlock> resnets;
    std::optional<Conv2d> downsample;
  };
  Conv2d conv_in_, conv_out_;
  std::vector<Level> levels_;
  MidBlock mid_;
  GroupNorm norm_out_;
  std::optional<Conv2d> quant_conv_;
};

class VaeDecoder {
 public:
  static absl::StatusOr<VaeDecoder> Load(const AutoencoderConfig& config, StateDict& weights,
                                         const Execution& execution);
  at::Tensor operator()(const at::Tensor& latents) const;

 private:
  struct Level {
    std::vector<ResnetBlock> resnets;
    std::optional<Conv2d> upsample;
  };
  std::optional<Conv2d> post_quant_conv_;
  Conv2d conv_in_, conv_out_;
  MidBlock mid_;
  std::vector<Level> levels_;
  GroupNorm norm_out_;
};

// Const after construction and thread-safe. Convolutions are not batch-invariant: whoever promises
// that gives one image per call.
class AutoencoderKl {
 public:
  // Takes every tensor of `weights`; a missing, misshapen or left-over one is an error that names
  // it.
  static absl::StatusOr<AutoencoderKl> Load(const AutoencoderConfig& config, StateDict& weights,
                                            const Execution& execution);

  // images [images, 3, height, width] in [-1, 1], sides divisible by config().downscale().
  LatentDistribution Encode(const at::Tensor& images) const;

  // Unscaled latents (divided by scaling_factor already) [images, latent_channels, h, w] -> images
  // [images, 3, h * downscale, w * downscale], about [-1, 1], in the execution's dtype.
  at::Tensor Decode(const at::Tensor& latents) const;

  // The same of latents as the transformer knows them.
  at::Tensor DecodeScaled(const at::Tensor& latents) const;

  const AutoencoderConfig& config() const { return config_; }

 private:
  AutoencoderKl(const AutoencoderConfig& config, const Execution& execution, VaeEncoder encoder,
                VaeDecoder decoder);

  AutoencoderConfig config_;
  Execution execution_;
  VaeEncoder encoder_;
  VaeDecoder decoder_;
};

}  // namespace ilf
