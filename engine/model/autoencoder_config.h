// Configuration of an AutoencoderKL (diffusers, vae/config.json).
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/checkpoint/json_config.h"

namespace ilf {

struct AutoencoderConfig {
  int64_t image_channels = 3;  // in_channels and out_channels
  int64_t latent_channels = 4;
  std::vector<int64_t> block_out_channels = {64};  // by level, finest first
  int64_t layers_per_block = 1;
  int64_t norm_num_groups = 32;
  double scaling_factor = 0.18215;  // latents are multiplied by it before the transformer sees them
  bool use_quant_conv = true;
  bool use_post_quant_conv = true;
  bool mid_block_add_attention = true;

  // Pixels a latent cell covers, per side.
  int64_t downscale() const { return int64_t{1} << (block_out_channels.size() - 1); }

  // INVALID_ARGUMENT names the file and the key that is out of range or not supported.
  static absl::StatusOr<AutoencoderConfig> FromJson(const JsonConfig& json);
};

}  // namespace ilf
