#include "engine/model/t5_encoder.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <utility>

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/embedding.h>
#include <ATen/ops/full.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/pad_sequence.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/rsqrt.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/tensor.h>

#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "engine/model/activation.h"

namespace ilf {
namespace {

constexpr char kShared[] = "shared.weight";
constexpr char kEmbedTokens[] = "encoder.embed_tokens.weight";
constexpr char kRelativeBias[] =
    "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight";

at::Tensor RmsNorm(const at::Tensor& x, const at::Tensor& weight, double epsilon) {
  return x * at::rsqrt(x.square().mean(-1, /*keepdim=*/true) + epsilon) * weight;
}

// Which entry of the relative bias counts `distance` tokens ahead: half of the buckets for either
// direction, of each half the first half one a distance, the rest ever wider.
int64_t Bucket(const T5Config& config, int64_t distance) {
  const int64_t half = config.relative_attention_num_buckets / 2;
  const int64_t exact = half / 2;
  const int64_t side = distance > 0 ? half : 0;
  distance = std::abs(distance);
  if (distance < exact) return side + distance;
  // In float32, as the reference computes it: at a boundary another rounding is another bucket.
  const float part = std::log(static_cast<float>(distance) / static_cast<float>(exact)) /
                     static_cast<float>(std::log(
                         static_cast<double>(config.relative_attention_max_distance) / exact));
  const int64_t wide = static_cast<int64_t>(part * static_cast<float>(half - exact));
  return side + std::min(half - 1, exact + wide);
}

at::Tensor SplitHeads(const at::Tensor& x, int64_t heads) {
  return x.unflatten(-1, {heads, -1}).transpose(-3, -2);
}

at::Tensor MergeHeads(const at::Tensor& x) { return x.transpose(-3, -2).flatten(-2); }

absl::StatusOr<Linear> LoadLinear(StateDict& weights, const std::string& name, int64_t in,
                                  int64_t out, LinearBuilder& builder) {
  ILF_ASSIGN_OR_RETURN(const at::Tensor weight, weights.Take(name + ".weight", {out, in}));
  return Linear(Place(weight, builder.execution()), at::Tensor(), RowKind::kTokens, builder);
}

absl::StatusOr<at::Tensor> TakeEmbedding(const T5Config& config, StateDict& weights) {
  const std::vector<int64_t> shape = {config.vocab_size, config.d_model};
  if (!weights.Has(kShared) && weights.Has(kEmbedTokens)) return weights.Take(kEmbedTokens, shape);
  weights.Ignore(kEmbedTokens);  // a copy, where it is there
  return weights.Take(kShared, shape);
}

}  // namespace

absl::StatusOr<T5Encoder::Layer> T5Encoder::LoadLayer(const T5Config& config, int64_t index,
                                                      StateDict& weights, LinearBuilder& builder,
                                                      LinearBuilder& float32_builder) {
  const std::string block = absl::StrCat("encoder.block.", index);
  const std::string attention = block + ".layer.0.SelfAttention";
  const std::string feed_forward = block + ".layer.1.DenseReluDense";
  const int64_t dim = config.d_model;
  const int64_t inner = config.num_heads * config.d_kv;
  const Execution& float32 = float32_builder.execution();
  Layer layer;
  ILF_ASSIGN_OR_RETURN(at::Tensor norm, weights.Take(block + ".layer.0.layer_norm.weight", {dim}));
  layer.attention_norm = Place(norm, float32);
  ILF_ASSIGN_OR_RETURN(norm, weights.Take(block + ".layer.1.layer_norm.weight", {dim}));
  layer.feed_forward_norm = Place(norm, float32);
  ILF_ASSIGN_OR_RETURN(layer.query, LoadLinear(weights, attention + ".q", dim, inner, builder));
  ILF_ASSIGN_OR_RETURN(layer.key, LoadLinear(weights, attention + ".k", dim, inner, builder));
  ILF_ASSIGN_OR_RETURN(layer.value, LoadLinear(weights, attention + ".v", dim, inner, builder));
  ILF_ASSIGN_OR_RETURN(layer.out, LoadLinear(weights, attention + ".o", inner, dim, builder));
  const int64_t wide = config.d_ff;
  ILF_ASSIGN_OR_RETURN(
      layer.feed_forward_in,
      LoadLinear(weights, feed_forward + (config.gated ? ".wi_0" : ".wi"), dim, wide, builder));
  if (config.gated) {
    ILF_ASSIGN_OR_RETURN(layer.feed_forward_gate,
                         LoadLinear(weights, feed_forward + ".wi_1", dim, wide, builder));
  }
  ILF_ASSIGN_OR_RETURN(layer.feed_forward_out,
                       LoadLinear(weights, feed_forward + ".wo", wide, dim, float32_builder));
  return layer;
}

absl::StatusOr<T5Encoder> T5Encoder::Load(const T5Config& config, StateDict& weights,
                                          const Execution& execution) {
  T5Encoder encoder;
  encoder.config_ = config;
  encoder.execution_ = execution;
  LinearBuilder builder(execution);
  LinearBuilder float32_builder(execution.InFloat32());
  const Execution& float32 = float32_builder.execution();
  ILF_ASSIGN_OR_RETURN(const at::Tensor embedding, TakeEmbedding(config, weights));
  encoder.embedding_ = Place(embedding, float32);
  ILF_ASSIGN_OR_RETURN(
      const at::Tensor bias,
      weights.Take(kRelativeBias, {config.relative_attention_num_buckets, config.num_heads}));
  encoder.relative_bias_ = Place(bias, float32);
  for (int64_t i = 0; i < config.num_layers; ++i) {
    ILF_ASSIGN_OR_RETURN(Layer layer, LoadLayer(config, i, weights, builder, float32_builder));
    encoder.layers_.push_back(std::move(layer));
  }
  ILF_ASSIGN_OR_RETURN(const at::Tensor norm,
                       weights.Take("encoder.final_layer_norm.weight", {config.d_model}));
  encoder.final_norm_ = Place(norm, float32);
  ILF_RETURN_IF_ERROR(weights.CheckAllConsumed());
  return encoder;
}

// [heads, tokens, tokens]: what each token's distance to each other adds to its score.
at::Tensor T5Encoder::PositionBias(int64_t tokens) const {
  std::vector<int64_t> buckets;
  for (int64_t from = 0; from < tokens; ++from) {
    for (int64_t to = 0; to < tokens; ++to) buckets.push_back(Bucket(config_, to - from));
  }
  const at::Tensor index = at::tensor(buckets).view({tokens, tokens}).to(relative_bias_.device());
  return at::embedding(relative_bias_, index).permute({2, 0, 1});
}

// Without the usual scaling by the width of a head.
at::Tensor T5Encoder::Attend(const at::Tensor& query, const at::Tensor& key,
                             const at::Tensor& value, const at::Tensor& bias) const {
  const int64_t heads = config_.num_heads;
  const at::Tensor scores =
      at::matmul(SplitHeads(query, heads), SplitHeads(key, heads).transpose(-1, -2));
  const at::Tensor weights = at::softmax(scores.to(at::kFloat) + bias, -1);
  return MergeHeads(at::matmul(weights.to(value.scalar_type()), SplitHeads(value, heads)));
}

at::Tensor T5Encoder::FeedForward(const Layer& layer, const at::Tensor& x) const {
  const at::Tensor in = layer.feed_forward_in(x);
  const at::Tensor hidden = layer.feed_forward_gate
                                ? GeluTanh(in, execution_) * (*layer.feed_forward_gate)(x)
                                : at::relu(in);
  return layer.feed_forward_out(hidden.to(at::kFloat));
}

// x [..., d_model] float32 -> the same.
at::Tensor T5Encoder::Run(at::Tensor x, const Attention& attention) const {
  const double epsilon = config_.layer_norm_epsilon;
  for (const Layer& layer : layers_) {
    const at::Tensor h = RmsNorm(x, layer.attention_norm, epsilon).to(execution_.dtype);
    const at::Tensor attended = attention(layer.query(h), layer.key(h), layer.value(h));
    x = x + layer.out(attended).to(at::kFloat);
    const at::Tensor normed = RmsNorm(x, layer.feed_forward_norm, epsilon).to(execution_.dtype);
    x = x + FeedForward(layer, normed).to(at::kFloat);
  }
  return RmsNorm(x, final_norm_, epsilon);
}

// All tokens in one row of tokens.
std::vector<at::Tensor> T5Encoder::RunPacked(const std::vector<at::Tensor>& ids) const {
  std::vector<int64_t> lengths;
  std::vector<at::Tensor> biases;
  for (const at::Tensor& prompt : ids) {
    lengths.push_back(prompt.size(0));
    biases.push_back(PositionBias(prompt.size(0)));
  }
  const at::Tensor x = at::embedding(embedding_, at::cat(ids).to(embedding_.device()));
  const Attention attention = [&](const at::Tensor& query, const at::Tensor& key,
                                  const at::Tensor& value) {
    std::vector<at::Tensor> parts;
    int64_t begin = 0;
    for (size_t i = 0; i < lengths.size(); ++i) {
      const auto part = [&](const at::Tensor& t) { return t.narrow(0, begin, lengths[i]); };
      parts.push_back(Attend(part(query), part(key), part(value), biases[i]));
      begin += lengths[i];
    }
    return parts.size() == 1 ? parts[0] : at::cat(parts);
  };
  return Run(x, attention).split_with_sizes(lengths);
}

// Every prompt a row, padded to the longest: few large products, whose gradients are faster.
std::vector<at::Tensor> T5Encoder::RunPadded(const std::vector<at::Tensor>& ids) const {
  const at::Tensor padded = at::pad_sequence(ids, /*batch_first=*/true).to(embedding_.device());
  at::Tensor padding = at::full({padded.size(0), 1, 1, padded.size(1)},
                                -std::numeric_limits<double>::infinity(), embedding_.options());
  for (size_t i = 0; i < ids.size(); ++i) {
    padding[static_cast<int64_t>(i)].narrow(-1, 0, ids[i].size(0)).zero_();
  }
  const at::Tensor bias = PositionBias(padded.size(1)) + padding;
  const at::Tensor x =
      Run(at::embedding(embedding_, padded),
          [&](const at::Tensor& query, const at::Tensor& key, const at::Tensor& value) {
            return Attend(query, key, value, bias);
          });
  std::vector<at::Tensor> states;
  for (size_t i = 0; i < ids.size(); ++i) {
    states.push_back(x[static_cast<int64_t>(i)].narrow(0, 0, ids[i].size(0)));
  }
  return states;
}

std::vector<at::Tensor> T5Encoder::operator()(const std::vector<at::Tensor>& ids) const {
  return execution_.trainable ? RunPadded(ids) : RunPacked(ids);
}

}  // namespace ilf
