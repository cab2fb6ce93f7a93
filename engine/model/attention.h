// Multi-head attention of tokens to each other, and of tokens to a prompt.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "absl/status/statusor.h"
#include "engine/checkpoint/state_dict.h"
#include "engine/model/linear.h"
#include "engine/model/prompt_context.h"
#include "engine/model/token_layout.h"

namespace ilf {

struct AttentionConfig {
  int64_t heads = 0;
  int64_t head_dim = 0;

  int64_t dim() const { return heads * head_dim; }
};

// x [tokens, dim], rows packed as `layout` says -> the same shape; each row attends to itself.
// Thread-safe.
class SelfAttention {
 public:
  // `prefix` is "transformer_blocks.N.attn1".
  static absl::StatusOr<SelfAttention> Load(StateDict& weights, const std::string& prefix,
                                            const AttentionConfig& config, LinearBuilder& builder);
  at::Tensor operator()(const at::Tensor& x, const TokenLayout& layout) const;

 private:
  int64_t heads_ = 0;
  bool in_parts_ = false;    // see Execution::differentiable
  std::vector<Linear> qkv_;  // one merged layer, or q, k and v while training
  Linear out_;
};

// Thread-safe.
class CrossAttention {
 public:
  // `prefix` is "transformer_blocks.N.attn2"; prompt tokens have `prompt_dim` channels.
  static absl::StatusOr<CrossAttention> Load(StateDict& weights, const std::string& prefix,
                                             const AttentionConfig& config, int64_t prompt_dim,
                                             LinearBuilder& builder);

  // tokens [prompts, tokens, prompt_dim] float32.
  KeyValue Project(const at::Tensor& tokens) const;

  // x [tokens, dim], rows packed as `layout` says -> the same shape. Reads `prompts`' keys and
  // values at `place` (PromptContext::keys_values). A row's bits depend on its own prompt alone.
  at::Tensor operator()(const at::Tensor& x, const TokenLayout& layout, const PromptRows& prompts,
                        int64_t place) const;

 private:
  int64_t heads_ = 0;
  bool in_parts_ = false;
  at::ScalarType dtype_ = at::kFloat;
  std::vector<Linear> kv_;  // one merged layer, or k and v while training
  Linear query_, out_;
};

}  // namespace ilf
