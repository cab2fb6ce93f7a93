// T5's text encoder (Raffel et al., "Exploring the Limits of Transfer Learning with a Unified
// Text-to-Text Transformer"; transformers T5EncoderModel).
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "absl/status/statusor.h"
#include "engine/checkpoint/state_dict.h"
#include "engine/model/execution.h"
#include "engine/model/linear.h"
#include "engine/model/t5_config.h"

namespace ilf {

// Const after construction and thread-safe. The residual stream, the norms, the scores and the
// second product of the feed-forward are float32 whatever the execution's dtype: in half precision
// the last is known to overflow.
class T5Encoder {
 public:
  // Takes every tensor of `weights`; a missing, misshapen or left-over one is an error that names
  // it. The token embedding may be called shared.weight, encoder.embed_tokens.weight, or both.
  static absl::StatusOr<T5Encoder> Load(const T5Config& config, StateDict& weights,
                                        const Execution& execution);

  // ids of some prompts, each [tokens] int64 without padding -> states [tokens, d_model] float32 of
  // each. The linear layers run over the tokens of all prompts, attention within each: a prompt's
  // bits do not depend on the others (with batch_invariant execution).
  std::vector<at::Tensor> operator()(const std::vector<at::Tensor>& ids) const;

  const T5Config& config() const { return config_; }

 private:
  struct Layer {
    at::Tensor attention_norm, feed_forward_norm;  // [d_model]
    Linear query, key, value, out;
    Linear feed_forward_in;                   // wi, or wi_0 with GELU
    std::optional<Linear> feed_forward_gate;  // wi_1
    Linear feed_forward_out;                  // wo
  };
  // Queries, keys and values [..., heads * d_kv] -> what they attend to, likewise.
  using Attention = std::function<at::Tensor(const at::Tensor& query, const at::Tensor& key,
                                             const at::Tensor& value)>;

  static absl::StatusOr<Layer> LoadLayer(const T5Config& config, int64_t index, StateDict& weights,
                                         LinearBuilder& builder, LinearBuilder& float32_builder);
  at::Tensor Run(at::Tensor x, const Attention& attention) const;
  at::Tensor FeedForward(const Layer& layer, const at::Tensor& x) const;
  at::Tensor Attend(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                    const at::Tensor& bias) const;
  at::Tensor PositionBias(int64_t tokens) const;
  std::vector<at::Tensor> RunPacked(const std::vector<at::Tensor>& ids) const;
  std::vector<at::Tensor> RunPadded(const std::vector<at::Tensor>& ids) const;

  T5Config config_;
  Execution execution_;
  at::Tensor embedding_;      // [vocab_size, d_model] float32
  at::Tensor relative_bias_;  // [buckets, heads] float32
  at::Tensor final_norm_;     // [d_model] float32
  std::vector<Layer> layers_;
};

}  // namespace ilf
