// Configuration of a T5 text encoder (transformers T5EncoderModel, text_encoder/config.json).
#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "engine/checkpoint/json_config.h"

namespace ilf {

// The defaults are T5 v1.1 XXL's, which the published PixArt models read with.
struct T5Config {
  int64_t vocab_size = 32128;
  int64_t d_model = 4096;
  int64_t d_kv = 64;  // width of a head
  int64_t d_ff = 10240;
  int64_t num_layers = 24;
  int64_t num_heads = 64;
  int64_t relative_attention_num_buckets = 32;
  int64_t relative_attention_max_distance = 128;  // tokens
  double layer_norm_epsilon = 1e-6;
  bool gated = true;  // feed_forward_proj "gated-gelu"; false: "relu"

  // INVALID_ARGUMENT names the file and the key that is missing, out of range or not supported.
  static absl::StatusOr<T5Config> FromJson(const JsonConfig& json);
};

}  // namespace ilf
