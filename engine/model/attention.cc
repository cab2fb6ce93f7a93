#include "engine/model/attention.h"

#include <cmath>

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <ATen/ops/softmax.h>

#include "engine/base/status_macros.h"

namespace ilf {
namespace {

// q [rows, heads, tokens, head_dim], k and v [rows, heads, keys, head_dim] -> like q. `bias` is
// added to the scores where it is defined.
at::Tensor Attend(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                  const at::Tensor& bias, bool in_parts) {
  if (!in_parts) {
    return at::scaled_dot_product_attention(
        q, k, v, bias.defined() ? std::optional(bias.to(q.scalar_type())) : std::nullopt);
  }
  const double scale = 1.0 / std::sqrt(static_cast<double>(q.size(-1)));
  at::Tensor scores = at::matmul(q * scale, k.transpose(-1, -2));
  if (bias.defined()) scores = scores + bias;
  return at::matmul(at::softmax(scores, -1), v);
}

// [rows, tokens, dim] -> [rows, heads, tokens, head_dim]
at::Tensor SplitHeads(const at::Tensor& x, int64_t heads) {
  return x.unflatten(-1, {heads, -1}).transpose(1, 2);
}

at::Tensor MergeHeads(const at::Tensor& x) { return x.transpose(1, 2).flatten(2); }

// The layers `names` of equal shape as one, whose output holds theirs side by side; as they are
// while training.
absl::StatusOr<std::vector<Linear>> LoadMerged(StateDict& weights, const std::string& prefix,
                                               std::vector<const char*> names, int64_t in,
                                               int64_t out, LinearBuilder& builder) {
  std::vector<Linear> layers;
  std::vector<at::Tensor> merged_weights, merged_biases;
  for (const char* name : names) {
    ILF_ASSIGN_OR_RETURN(LinearWeights layer,
                         TakeLinear(weights, prefix + name, in, out, builder.execution()));
    if (builder.execution().trainable) {
      layers.emplace_back(layer.weight, layer.bias, RowKind::kTokens, builder);
    }
    merged_weights.push_back(layer.weight);
    merged_biases.push_back(layer.bias);
  }
  if (layers.empty()) {
    layers.emplace_back(at::cat(merged_weights), at::cat(merged_biases), RowKind::kTokens, builder);
  }
  return layers;
}

// `count` outputs, whether the layers are merged or not.
std::vector<at::Tensor> Outputs(const std::vector<Linear>& layers, const at::Tensor& x,
                                int64_t count) {
  if (layers.size() == 1) return layers[0](x).chunk(count, -1);
  std::vector<at::Tensor> outputs;
  for (const Linear& layer : layers) outputs.push_back(layer(x));
  return outputs;
}

// See Execution::differentiable.
bool InParts(const Execution& execution) {
  return (execution.trainable || execution.differentiable) && execution.device.is_cpu();
}

}  // namespace

absl::StatusOr<SelfAttention> SelfAttention::Load(StateDict& weights, const std::string& prefix,
                                                  const AttentionConfig& config,
                                                  LinearBuilder& builder) {
  const int64_t dim = config.dim();
  SelfAttention attention;
  attention.heads_ = config.heads;
  attention.in_parts_ = InParts(builder.execution());
  ILF_ASSIGN_OR_RETURN(attention.qkv_,
                       LoadMerged(weights, prefix, {".to_q", ".to_k", ".to_v"}, dim, dim, builder));
  ILF_ASSIGN_OR_RETURN(attention.out_, Linear::Load(weights, prefix + ".to_out.0", dim, dim,
                                                    RowKind::kTokens, builder));
  return attention;
}

at::Tensor SelfAttention::operator()(const at::Tensor& x, const TokenLayout& layout) const {
  const std::vector<at::Tensor> qkv = Outputs(qkv_, x, 3);  // [tokens, dim] each
  return out_(ByGroup(layout, [&](const TokenLayout::Group& group) {
    const auto heads = [&](int i) { return SplitHeads(PartOf(qkv[i], group), heads_); };
    return MergeHeads(Attend(heads(0), heads(1), heads(2), {}, in_parts_));
  }));
}

absl::StatusOr<CrossAttention> CrossAttention::Load(StateDict& weights, const std::string& prefix,
                                                    const AttentionConfig& config,
                                                    int64_t prompt_dim, LinearBuilder& builder) {
  const int64_t dim = config.dim();
  CrossAttention attention;
  attention.heads_ = config.heads;
  attention.in_parts_ = InParts(builder.execution());
  attention.dtype_ = builder.execution().dtype;
  ILF_ASSIGN_OR_RETURN(attention.query_, Linear::Load(weights, prefix + ".to_q", dim, dim,
                                                      RowKind::kTokens, builder));
  ILF_ASSIGN_OR_RETURN(attention.kv_,
                       LoadMerged(weights, prefix, {".to_k", ".to_v"}, prompt_dim, dim, builder));
  ILF_ASSIGN_OR_RETURN(attention.out_, Linear::Load(weights, prefix + ".to_out.0", dim, dim,
                                                    RowKind::kTokens, builder));
  return attention;
}

KeyValue CrossAttention::Project(const at::Tensor& tokens) const {
  const std::vector<at::Tensor> kv = Outputs(kv_, tokens.to(dtype_), 2);
  if (in_parts_) return {SplitHeads(kv[0], heads_), SplitHeads(kv[1], heads_)};
  return {SplitHeads(kv[0], heads_).contiguous(), SplitHeads(kv[1], heads_).contiguous()};
}

at::Tensor CrossAttention::operator()(const at::Tensor& x, const TokenLayout& layout,
                                      const PromptRows& prompts, int64_t place) const {
  const at::Tensor query = query_(x);  // [tokens, dim]
  return out_(ByGroup(layout, [&](const TokenLayout::Group& group) {
    const at::Tensor q = SplitHeads(PartOf(query, group), heads_);
    std::vector<at::Tensor> parts;
    int64_t begin = 0;
    for (const PromptRows::Segment& segment : prompts.Of(group.first_row, group.rows)) {
      const KeyValue& kv = segment.context->keys_values[place];
      const std::vector<int64_t> shape = {segment.rows, -1, -1, -1};
      parts.push_back(Attend(q.narrow(0, begin, segment.rows), kv.key.expand(shape),
                             kv.value.expand(shape), segment.context->bias, in_parts_));
      begin += segment.rows;
    }
    return MergeHeads(parts.size() == 1 ? parts[0] : at::cat(parts));
  }));
}

}  // namespace ilf
