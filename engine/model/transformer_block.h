// One transformer block: self-attention, cross-attention to the prompt in a model that reads text,
// and a feed-forward, under adaptive layer norm (adaLN-Zero, adaLN-single).
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include <ATen/core/Tensor.h>

#include "absl/status/statusor.h"
#include "engine/checkpoint/state_dict.h"
#include "engine/model/attention.h"
#include "engine/model/linear.h"
#include "engine/model/prompt_context.h"
#include "engine/model/token_layout.h"
#include "engine/model/transformer_config.h"

namespace ilf {

// Shift, scale and gate of one block for each row of the batch, each [rows, 1, dim] float32.
struct BlockModulation {
  at::Tensor shift_msa, scale_msa, gate_msa;
  at::Tensor shift_mlp, scale_mlp, gate_mlp;
};
inline constexpr int64_t kBlockModulations = 6;

// modulation [rows, 6 * dim], in the order of the fields.
BlockModulation SplitModulation(const at::Tensor& modulation);

class TransformerBlock {
 public:
  // `prefix` is "transformer_blocks.N".
  static absl::StatusOr<TransformerBlock> Load(StateDict& weights, const std::string& prefix,
                                               const TransformerConfig& config,
                                               LinearBuilder& builder);

  // x [tokens, dim] float32, rows packed as `layout` says -> the same. Thread-safe. The residual
  // stream stays in float32 whatever the execution's dtype: in bfloat16 every block's sum would
  // lose half of its digits. Cross-attention reads `prompts` at `place`; a DiT has none.
  at::Tensor operator()(const at::Tensor& x, const TokenLayout& layout,
                        const BlockModulation& modulation, const PromptRows& prompts,
                        int64_t place) const;

  // What its cross-attention reads of a prompt's tokens [prompts, tokens, dim]. Only of a block
  // that has one.
  KeyValue ProjectPrompt(const at::Tensor& tokens) const;

 private:
  at::ScalarType dtype_ = at::kFloat;  // of the products
  double attention_norm_eps_ = 1e-6;
  double feed_forward_norm_eps_ = 1e-5;
  SelfAttention attention_;
  std::optional<CrossAttention> cross_attention_;
  Linear feed_forward_in_;  // with GELU
  Linear feed_forward_out_;
};

// Layer norm of every token of x [tokens, dim] without weights, then x * (1 + scale) + shift, which
// are [rows, 1, dim]; float32 in, `dtype` out.
at::Tensor NormAndModulate(const at::Tensor& x, const TokenLayout& layout, double eps,
                           const at::Tensor& shift, const at::Tensor& scale, at::ScalarType dtype);

}  // namespace ilf
