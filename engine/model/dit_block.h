// One transformer block with adaptive layer norm (adaLN-Zero).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "absl/status/statusor.h"
#include "engine/checkpoint/state_dict.h"
#include "engine/model/linear.h"

namespace ilf {

// Shift, scale and gate of one block for each row of the batch, each [rows, 1, dim] float32.
struct BlockModulation {
  at::Tensor shift_msa, scale_msa, gate_msa;
  at::Tensor shift_mlp, scale_mlp, gate_mlp;
};
inline constexpr int64_t kBlockModulations = 6;

// modulation [rows, 6 * dim], in the order of the fields.
BlockModulation SplitModulation(const at::Tensor& modulation);

// Multi-head self-attention. x [rows, tokens, dim] -> the same shape.
class SelfAttention {
 public:
  static absl::StatusOr<SelfAttention> Load(StateDict& weights, const std::string& prefix,
                                            int64_t heads, int64_t head_dim,
                                            LinearBuilder& builder);
  at::Tensor operator()(const at::Tensor& x) const;

 private:
  int64_t heads_ = 0;
  bool in_parts_ = false;    // see Execution::differentiable
  std::vector<Linear> qkv_;  // one merged layer, or q, k and v while training
  Linear out_;
};

struct DitBlockConfig {
  int64_t heads = 0;
  int64_t head_dim = 0;
  double feed_forward_norm_eps = 1e-5;
};

class DitBlock {
 public:
  // `prefix` is "transformer_blocks.N".
  static absl::StatusOr<DitBlock> Load(StateDict& weights, const std::string& prefix,
                                       const DitBlockConfig& config, LinearBuilder& builder);

  // x [rows, tokens, dim] float32 -> the same. Thread-safe. The residual stream stays in float32
  // whatever the execution's dtype: in bfloat16 every block's sum would lose half of its digits.
  at::Tensor operator()(const at::Tensor& x, const BlockModulation& modulation) const;

 private:
  at::ScalarType dtype_ = at::kFloat;  // of the products
  double feed_forward_norm_eps_ = 1e-5;
  SelfAttention attention_;
  Linear feed_forward_in_;  // with GELU
  Linear feed_forward_out_;
};

// Layer norm over the last dimension without weights, then x * (1 + scale) + shift; float32 in,
// `dtype` out.
at::Tensor NormAndModulate(const at::Tensor& x, double eps, const at::Tensor& shift,
                           const at::Tensor& scale, at::ScalarType dtype);

}  // namespace ilf
