#include "engine/model/transformer_block.h"

#include <vector>

#include <ATen/TensorOperators.h>
#include <ATen/ops/addcmul.h>
#include <ATen/ops/layer_norm.h>

#include "engine/base/check.h"
#include "engine/base/status_macros.h"

namespace ilf {
namespace {

constexpr double kDitAttentionNormEps = 1e-6;

// x + gate * y; x and y [tokens, dim], gate [rows, 1, dim].
at::Tensor AddGated(const at::Tensor& x, const TokenLayout& layout, const at::Tensor& gate,
                    const at::Tensor& y) {
  return ByGroup(layout, [&](const TokenLayout::Group& group) {
    return at::addcmul(PartOf(x, group), RowsOf(gate, group), PartOf(y, group).to(at::kFloat));
  });
}

}  // namespace

BlockModulation SplitModulation(const at::Tensor& modulation) {
  const std::vector<at::Tensor> m =
      modulation.to(at::kFloat).unsqueeze(1).chunk(kBlockModulations, -1);
  return {m[0], m[1], m[2], m[3], m[4], m[5]};
}

at::Tensor NormAndModulate(const at::Tensor& x, const TokenLayout& layout, double eps,
                           const at::Tensor& shift, const at::Tensor& scale, at::ScalarType dtype) {
  const at::Tensor normed = at::layer_norm(x, {x.size(-1)}, {}, {}, eps);
  return ByGroup(layout, [&](const TokenLayout::Group& group) {
    return at::addcmul(RowsOf(shift, group), PartOf(normed, group), RowsOf(scale, group) + 1)
        .to(dtype);
  });
}

absl::StatusOr<TransformerBlock> TransformerBlock::Load(StateDict& weights,
                                                        const std::string& prefix,
                                                        const TransformerConfig& config,
                                                        LinearBuilder& builder) {
  const int64_t dim = config.dim();
  const AttentionConfig attention = {config.num_attention_heads, config.attention_head_dim};
  TransformerBlock block;
  block.dtype_ = builder.execution().dtype;
  block.attention_norm_eps_ =
      config.architecture == Architecture::kDit ? kDitAttentionNormEps : config.norm_eps;
  block.feed_forward_norm_eps_ = config.norm_eps;
  ILF_ASSIGN_OR_RETURN(block.attention_,
                       SelfAttention::Load(weights, prefix + ".attn1", attention, builder));
  if (config.reads_text()) {
    ILF_ASSIGN_OR_RETURN(block.cross_attention_,
                         CrossAttention::Load(weights, prefix + ".attn2", attention,
                                              config.cross_attention_dim, builder));
  }
  ILF_ASSIGN_OR_RETURN(block.feed_forward_in_,
                       Linear::Load(weights, prefix + ".ff.net.0.proj", dim, 4 * dim,
                                    RowKind::kTokens, builder, Activation::kGeluTanh));
  ILF_ASSIGN_OR_RETURN(block.feed_forward_out_, Linear::Load(weights, prefix + ".ff.net.2", 4 * dim,
                                                             dim, RowKind::kTokens, builder));
  return block;
}

at::Tensor TransformerBlock::operator()(const at::Tensor& x, const TokenLayout& layout,
                                        const BlockModulation& m, const PromptRows& prompts,
                                        int64_t place) const {
  const at::Tensor attended = attention_(
      NormAndModulate(x, layout, attention_norm_eps_, m.shift_msa, m.scale_msa, dtype_), layout);
  at::Tensor h = AddGated(x, layout, m.gate_msa, attended);
  if (cross_attention_) {  // without norm or gate, as PixArt has it
    h = h + (*cross_attention_)(h.to(dtype_), layout, prompts, place).to(at::kFloat);
  }
  const at::Tensor fed = feed_forward_out_(feed_forward_in_(
      NormAndModulate(h, layout, feed_forward_norm_eps_, m.shift_mlp, m.scale_mlp, dtype_)));
  return AddGated(h, layout, m.gate_mlp, fed);
}

KeyValue TransformerBlock::ProjectPrompt(const at::Tensor& tokens) const {
  Check(cross_attention_.has_value(), "a prompt for a block without cross-attention");
  return cross_attention_->Project(tokens);
}

}  // namespace ilf
