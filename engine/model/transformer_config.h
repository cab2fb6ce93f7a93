// Configuration of a diffusion transformer (transformer/config.json): a class-conditional DiT
// (diffusers DiTTransformer2DModel) or a text-conditional PixArt (PixArtTransformer2DModel), or
// what either was called before (Transformer2DModel).
#pragma once

#include <cstdint>
#include <optional>

#include "absl/status/statusor.h"
#include "engine/checkpoint/json_config.h"

namespace ilf {

// Width of the sinusoidal timestep embedding; the same in every published model.
inline constexpr int64_t kTimestepDim = 256;

// norm_type tells them apart: "ada_norm_zero" and "ada_norm_single".
enum class Architecture { kDit, kPixArt };

struct TransformerConfig {
  Architecture architecture = Architecture::kDit;
  int64_t num_attention_heads = 16;
  int64_t attention_head_dim = 72;
  int64_t in_channels = 4;
  int64_t out_channels = 4;  // twice in_channels for a model with learned sigma
  int64_t num_layers = 28;
  int64_t sample_size = 32;  // latent side
  int64_t patch_size = 2;
  double norm_eps = 1e-5;  // of the feed-forward's norm; with PixArt of the attention's too

  // DiT.
  int64_t num_classes = 1000;  // num_embeds_ada_norm; the null class is the row after the last

  // PixArt.
  int64_t caption_channels = 0;     // width of the text encoder's output; 0: there is no caption
                                    // projection, and it is cross_attention_dim
  int64_t cross_attention_dim = 0;  // width of what cross-attention reads
  double interpolation_scale = 1.0;
  // Whether the size of the picture is a condition. A published config may leave it out: then the
  // weights tell.
  std::optional<bool> micro_conditions;

  int64_t dim() const { return num_attention_heads * attention_head_dim; }
  int64_t tokens_per_side() const { return sample_size / patch_size; }
  int64_t tokens() const { return tokens_per_side() * tokens_per_side(); }
  bool reads_text() const { return architecture == Architecture::kPixArt; }
  // Width of the prompt embeddings that the model is given.
  int64_t text_channels() const {
    return caption_channels > 0 ? caption_channels : cross_attention_dim;
  }

  // INVALID_ARGUMENT names the file and the key that is missing, out of range, or of a kind of
  // model that is neither.
  static absl::StatusOr<TransformerConfig> FromJson(const JsonConfig& json);
};

}  // namespace ilf
