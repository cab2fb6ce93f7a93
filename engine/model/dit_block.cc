#include "engine/model/dit_block.h"

#include <cmath>

#include <ATen/TensorOperators.h>
#include <ATen/ops/addcmul.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/layer_norm.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <ATen/ops/softmax.h>

#include "engine/base/status_macros.h"

namespace ilf {
namespace {

constexpr double kAttentionNormEps = 1e-6;

// q, k, v [rows, heads, tokens, head_dim] -> the same shape.
at::Tensor Attend(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, bool in_parts) {
  if (!in_parts) return at::scaled_dot_product_attention(q, k, v);
  const double scale = 1.0 / std::sqrt(static_cast<double>(q.size(-1)));
  return at::matmul(at::softmax(at::matmul(q * scale, k.transpose(-1, -2)), -1), v);
}

}  // namespace

BlockModulation SplitModulation(const at::Tensor& modulation) {
  const std::vector<at::Tensor> m =
      modulation.to(at::kFloat).unsqueeze(1).chunk(kBlockModulations, -1);
  return {m[0], m[1], m[2], m[3], m[4], m[5]};
}

at::Tensor NormAndModulate(const at::Tensor& x, double eps, const at::Tensor& shift,
                           const at::Tensor& scale, at::ScalarType dtype) {
  const at::Tensor normed = at::layer_norm(x, {x.size(-1)}, {}, {}, eps);
  return at::addcmul(shift, normed, scale + 1).to(dtype);
}

absl::StatusOr<SelfAttention> SelfAttention::Load(StateDict& weights, const std::string& prefix,
                                                  int64_t heads, int64_t head_dim,
                                                  LinearBuilder& builder) {
  const int64_t dim = heads * head_dim;
  const Execution& execution = builder.execution();
  SelfAttention attention;
  attention.heads_ = heads;
  attention.in_parts_ = execution.trainable || execution.differentiable;

  std::vector<at::Tensor> merged_weights, merged_biases;
  for (const char* name : {".to_q", ".to_k", ".to_v"}) {
    ILF_ASSIGN_OR_RETURN(LinearWeights layer,
                         TakeLinear(weights, prefix + name, dim, dim, execution));
    if (execution.trainable) {
      attention.qkv_.emplace_back(layer.weight, layer.bias, RowKind::kTokens, builder);
    }
    merged_weights.push_back(layer.weight);
    merged_biases.push_back(layer.bias);
  }
  if (!execution.trainable) {
    attention.qkv_.emplace_back(at::cat(merged_weights), at::cat(merged_biases), RowKind::kTokens,
                                builder);
  }
  ILF_ASSIGN_OR_RETURN(attention.out_, Linear::Load(weights, prefix + ".to_out.0", dim, dim,
                                                    RowKind::kTokens, builder));
  return attention;
}

at::Tensor SelfAttention::operator()(const at::Tensor& x) const {
  std::vector<at::Tensor> qkv;
  for (const Linear& layer : qkv_) qkv.push_back(layer(x));
  if (qkv.size() == 1) qkv = qkv[0].chunk(3, -1);
  for (at::Tensor& t : qkv) t = t.unflatten(-1, {heads_, -1}).transpose(1, 2);
  const at::Tensor y =
      Attend(qkv[0], qkv[1], qkv[2], in_parts_);  // [rows, heads, tokens, head_dim]
  return out_(y.transpose(1, 2).flatten(2));
}

absl::StatusOr<DitBlock> DitBlock::Load(StateDict& weights, const std::string& prefix,
                                        const DitBlockConfig& config, LinearBuilder& builder) {
  const int64_t dim = config.heads * config.head_dim;
  DitBlock block;
  block.dtype_ = builder.execution().dtype;
  block.feed_forward_norm_eps_ = config.feed_forward_norm_eps;
  ILF_ASSIGN_OR_RETURN(
      block.attention_,
      SelfAttention::Load(weights, prefix + ".attn1", config.heads, config.head_dim, builder));
  ILF_ASSIGN_OR_RETURN(block.feed_forward_in_,
                       Linear::Load(weights, prefix + ".ff.net.0.proj", dim, 4 * dim,
                                    RowKind::kTokens, builder, Activation::kGeluTanh));
  ILF_ASSIGN_OR_RETURN(block.feed_forward_out_, Linear::Load(weights, prefix + ".ff.net.2", 4 * dim,
                                                             dim, RowKind::kTokens, builder));
  return block;
}

at::Tensor DitBlock::operator()(const at::Tensor& x, const BlockModulation& m) const {
  const at::Tensor attended =
      attention_(NormAndModulate(x, kAttentionNormEps, m.shift_msa, m.scale_msa, dtype_));
  const at::Tensor h = at::addcmul(x, m.gate_msa, attended.to(at::kFloat));
  const at::Tensor fed = feed_forward_out_(feed_forward_in_(
      NormAndModulate(h, feed_forward_norm_eps_, m.shift_mlp, m.scale_mlp, dtype_)));
  return at::addcmul(h, m.gate_mlp, fed.to(at::kFloat));
}

}  // namespace ilf
