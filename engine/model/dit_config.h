// Configuration of a class-conditional DiT (diffusers DiTTransformer2DModel, transformer/config.json).
#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "engine/checkpoint/json_config.h"

namespace ilf {

// Width of the sinusoidal timestep embedding; the same in every published model.
inline constexpr int64_t kTimestepDim = 256;

struct DitConfig {
  int64_t num_attention_heads = 16;
  int64_t attention_head_dim = 72;
  int64_t in_channels = 4;
  int64_t out_channels = 4;  // twice in_channels for a model with learned sigma
  int64_t num_layers = 28;
  int64_t sample_size = 32;  // latent side
  int64_t patch_size = 2;
  int64_t num_classes = 1000;  // num_embeds_ada_norm; the null class is the row after the last
  double norm_eps = 1e-5;      // of the feed-forward's norm

  int64_t dim() const { return num_attention_heads * attention_head_dim; }
  int64_t tokens_per_side() const { return sample_size / patch_size; }
  int64_t tokens() const { return tokens_per_side() * tokens_per_side(); }

  // INVALID_ARGUMENT names the file and the key that is missing, out of range, or of a kind of model that is
  // not a DiT.
  static absl::StatusOr<DitConfig> FromJson(const JsonConfig& json);
};

}  // namespace ilf
