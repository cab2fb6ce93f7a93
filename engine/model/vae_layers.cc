#include "engine/model/vae_layers.h"

#include <cmath>
#include <utility>

#include <ATen/TensorOperators.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/group_norm.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/softmax.h>

#include "engine/base/status_macros.h"
#include "engine/model/linear.h"

namespace ilf {
namespace {

constexpr double kNormEps = 1e-6;

}  // namespace

absl::StatusOr<Conv2d> Conv2d::Load(StateDict& weights, const std::string& prefix, int64_t in,
                                    int64_t out, int64_t size, const Execution& execution) {
  Conv2d conv;
  ILF_ASSIGN_OR_RETURN(at::Tensor weight, weights.Take(prefix + ".weight", {out, in, size, size}));
  ILF_ASSIGN_OR_RETURN(at::Tensor bias, weights.Take(prefix + ".bias", {out}));
  conv.weight = Place(weight, execution);
  conv.bias = Place(bias, execution);
  conv.padding = size / 2;
  return conv;
}

at::Tensor Conv2d::operator()(const at::Tensor& x) const {
  return at::conv2d(x, weight, bias, stride, padding);
}

absl::StatusOr<GroupNorm> GroupNorm::Load(StateDict& weights, const std::string& prefix,
                                          int64_t channels, int64_t groups,
                                          const Execution& execution) {
  GroupNorm norm;
  ILF_ASSIGN_OR_RETURN(at::Tensor weight, weights.Take(prefix + ".weight", {channels}));
  ILF_ASSIGN_OR_RETURN(at::Tensor bias, weights.Take(prefix + ".bias", {channels}));
  norm.weight = Place(weight, execution);
  norm.bias = Place(bias, execution);
  norm.groups = groups;
  return norm;
}

at::Tensor GroupNorm::operator()(const at::Tensor& x) const {
  return at::group_norm(x, groups, weight, bias, kNormEps);
}

absl::StatusOr<ResnetBlock> ResnetBlock::Load(StateDict& weights, const std::string& prefix,
                                              int64_t in, int64_t out, int64_t groups,
                                              const Execution& execution) {
  ResnetBlock block;
  ILF_ASSIGN_OR_RETURN(block.norm1,
                       GroupNorm::Load(weights, prefix + ".norm1", in, groups, execution));
  ILF_ASSIGN_OR_RETURN(block.conv1,
                       Conv2d::Load(weights, prefix + ".conv1", in, out, 3, execution));
  ILF_ASSIGN_OR_RETURN(block.norm2,
                       GroupNorm::Load(weights, prefix + ".norm2", out, groups, execution));
  ILF_ASSIGN_OR_RETURN(block.conv2,
                       Conv2d::Load(weights, prefix + ".conv2", out, out, 3, execution));
  if (in != out) {
    ILF_ASSIGN_OR_RETURN(block.shortcut,
                         Conv2d::Load(weights, prefix + ".conv_shortcut", in, out, 1, execution));
  }
  return block;
}

at::Tensor ResnetBlock::operator()(const at::Tensor& x) const {
  const at::Tensor h = conv2(at::silu(norm2(conv1(at::silu(norm1(x))))));
  return (shortcut ? (*shortcut)(x) : x) + h;
}

absl::StatusOr<SpatialAttention> SpatialAttention::Load(StateDict& weights,
                                                        const std::string& prefix, int64_t channels,
                                                        int64_t groups,
                                                        const Execution& execution) {
  SpatialAttention attention;
  ILF_ASSIGN_OR_RETURN(attention.norm, GroupNorm::Load(weights, prefix + ".group_norm", channels,
                                                       groups, execution));
  const bool legacy = weights.Has(prefix + ".query.weight");
  const auto load = [&](const char* name, const char* legacy_name, at::Tensor& weight,
                        at::Tensor& bias) -> absl::Status {
    ILF_ASSIGN_OR_RETURN(
        LinearWeights layer,
        TakeLinear(weights, prefix + (legacy ? legacy_name : name), channels, channels, execution));
    weight = std::move(layer.weight);
    bias = std::move(layer.bias);
    return absl::OkStatus();
  };
  ILF_RETURN_IF_ERROR(load(".to_q", ".query", attention.q_weight, attention.q_bias));
  ILF_RETURN_IF_ERROR(load(".to_k", ".key", attention.k_weight, attention.k_bias));
  ILF_RETURN_IF_ERROR(load(".to_v", ".value", attention.v_weight, attention.v_bias));
  ILF_RETURN_IF_ERROR(load(".to_out.0", ".proj_attn", attention.out_weight, attention.out_bias));
  return attention;
}

at::Tensor SpatialAttention::operator()(const at::Tensor& x) const {
  const at::Tensor tokens = norm(x).flatten(2).transpose(1, 2);  // [images, positions, channels]
  const at::Tensor q = at::linear(tokens, q_weight, q_bias);
  const at::Tensor k = at::linear(tokens, k_weight, k_bias);
  const at::Tensor v = at::linear(tokens, v_weight, v_bias);
  const double scale = 1.0 / std::sqrt(static_cast<double>(q.size(-1)));
  const at::Tensor attended =
      at::matmul(at::softmax(at::matmul(q * scale, k.transpose(1, 2)), -1), v);
  const at::Tensor y = at::linear(attended, out_weight, out_bias);
  return x + y.transpose(1, 2).reshape(x.sizes());
}

absl::StatusOr<MidBlock> MidBlock::Load(StateDict& weights, const std::string& prefix,
                                        int64_t channels, int64_t groups, bool with_attention,
                                        const Execution& execution) {
  MidBlock block;
  ILF_ASSIGN_OR_RETURN(block.first, ResnetBlock::Load(weights, prefix + ".resnets.0", channels,
                                                      channels, groups, execution));
  if (with_attention) {
    ILF_ASSIGN_OR_RETURN(block.attention, SpatialAttention::Load(weights, prefix + ".attentions.0",
                                                                 channels, groups, execution));
  }
  ILF_ASSIGN_OR_RETURN(block.second, ResnetBlock::Load(weights, prefix + ".resnets.1", channels,
                                                       channels, groups, execution));
  return block;
}

at::Tensor MidBlock::operator()(const at::Tensor& x) const {
  const at::Tensor h = first(x);
  return second(attention ? (*attention)(h) : h);
}

}  // namespace ilf
