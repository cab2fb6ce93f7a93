#include "engine/training/initial_weights.h"

#include <cmath>
#include <string>

#include <torch/types.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "engine/checkpoint/state_dict.h"

namespace ilf {
namespace {

constexpr double kEmbeddingStd = 0.02;

class Initializer {
 public:
  explicit Initializer(at::Generator generator) : generator_(std::move(generator)) {}

  void Zero(const std::string& name, at::IntArrayRef shape) { out_[name] = at::zeros(shape); }
  void One(const std::string& name, at::IntArrayRef shape) { out_[name] = at::ones(shape); }
  void Normal(const std::string& name, at::IntArrayRef shape, double std) {
    out_[name] = at::randn(shape, generator_) * std;
  }
  void Uniform(const std::string& name, at::IntArrayRef shape, double bound) {
    out_[name] = (at::rand(shape, generator_) * 2.0 - 1.0) * bound;
  }
  // Xavier weights, zero bias.
  void Linear(const std::string& prefix, int64_t in, int64_t out) {
    Uniform(prefix + ".weight", {out, in}, std::sqrt(6.0 / (in + out)));
    Zero(prefix + ".bias", {out});
  }
  void ZeroLinear(const std::string& prefix, int64_t in, int64_t out) {
    Zero(prefix + ".weight", {out, in});
    Zero(prefix + ".bias", {out});
  }
  void Conv(const std::string& prefix, int64_t in, int64_t out, int64_t size) {
    const double bound = 1.0 / std::sqrt(static_cast<double>(in * size * size));
    Uniform(prefix + ".weight", {out, in, size, size}, bound);
    Uniform(prefix + ".bias", {out}, bound);
  }
  void Norm(const std::string& prefix, int64_t channels) {
    out_[prefix + ".weight"] = at::ones({channels});
    Zero(prefix + ".bias", {channels});
  }
  void Resnet(const std::string& prefix, int64_t in, int64_t out) {
    Norm(prefix + ".norm1", in);
    Conv(prefix + ".conv1", in, out, 3);
    Norm(prefix + ".norm2", out);
    Conv(prefix + ".conv2", out, out, 3);
    if (in != out) Conv(prefix + ".conv_shortcut", in, out, 1);
  }
  void MidBlock(const std::string& prefix, int64_t channels, bool attention) {
    Resnet(prefix + ".resnets.0", channels, channels);
    Resnet(prefix + ".resnets.1", channels, channels);
    if (!attention) return;
    const std::string attn = prefix + ".attentions.0";
    Norm(attn + ".group_norm", channels);
    for (const char* name : {".to_q", ".to_k", ".to_v", ".to_out.0"}) {
      Linear(attn + name, channels, channels);
    }
  }

  NamedTensors Take() { return std::move(out_); }

 private:
  at::Generator generator_;
  NamedTensors out_;
};

void Encoder(const AutoencoderConfig& config, Initializer& init) {
  const std::vector<int64_t>& channels = config.block_out_channels;
  init.Conv("encoder.conv_in", config.image_channels, channels.front(), 3);
  int64_t in = channels.front();
  for (size_t i = 0; i < channels.size(); ++i) {
    const std::string prefix = absl::StrCat("encoder.down_blocks.", i);
    for (int64_t j = 0; j < config.layers_per_block; ++j) {
      init.Resnet(absl::StrCat(prefix, ".resnets.", j), in, channels[i]);
      in = channels[i];
    }
    if (i + 1 < channels.size()) init.Conv(prefix + ".downsamplers.0.conv", in, in, 3);
  }
  init.MidBlock("encoder.mid_block", in, config.mid_block_add_attention);
  init.Norm("encoder.conv_norm_out", in);
  init.Conv("encoder.conv_out", in, 2 * config.latent_channels, 3);
}

void Decoder(const AutoencoderConfig& config, Initializer& init) {
  const std::vector<int64_t> channels(config.block_out_channels.rbegin(),
                                      config.block_out_channels.rend());
  init.Conv("decoder.conv_in", config.latent_channels, channels.front(), 3);
  init.MidBlock("decoder.mid_block", channels.front(), config.mid_block_add_attention);
  int64_t in = channels.front();
  for (size_t i = 0; i < channels.size(); ++i) {
    const std::string prefix = absl::StrCat("decoder.up_blocks.", i);
    for (int64_t j = 0; j <= config.layers_per_block; ++j) {
      init.Resnet(absl::StrCat(prefix, ".resnets.", j), in, channels[i]);
      in = channels[i];
    }
    if (i + 1 < channels.size()) init.Conv(prefix + ".upsamplers.0.conv", in, in, 3);
  }
  init.Norm("decoder.conv_norm_out", in);
  init.Conv("decoder.conv_out", in, config.image_channels, 3);
}

void Block(const std::string& prefix, const TransformerConfig& config, Initializer& init) {
  const int64_t dim = config.dim();
  for (const char* name : {".to_q", ".to_k", ".to_v", ".to_out.0"}) {
    init.Linear(absl::StrCat(prefix, ".attn1", name), dim, dim);
  }
  if (config.architecture == Architecture::kDit) {
    init.ZeroLinear(prefix + ".norm1.linear", dim, kBlockModulations * dim);
  } else {
    init.Normal(prefix + ".scale_shift_table", {kBlockModulations, dim}, 1.0 / std::sqrt(dim));
    init.Linear(prefix + ".attn2.to_q", dim, dim);
    init.Linear(prefix + ".attn2.to_k", config.cross_attention_dim, dim);
    init.Linear(prefix + ".attn2.to_v", config.cross_attention_dim, dim);
    init.ZeroLinear(prefix + ".attn2.to_out.0", dim, dim);
  }
  init.Linear(prefix + ".ff.net.0.proj", dim, 4 * dim);
  init.Linear(prefix + ".ff.net.2", 4 * dim, dim);
}

}  // namespace

NamedTensors InitialAutoencoder(const AutoencoderConfig& config, at::Generator generator) {
  Initializer init(std::move(generator));
  Encoder(config, init);
  Decoder(config, init);
  const int64_t latent = config.latent_channels;
  if (config.use_quant_conv) init.Conv("quant_conv", 2 * latent, 2 * latent, 1);
  if (config.use_post_quant_conv) init.Conv("post_quant_conv", latent, latent, 1);
  return init.Take();
}

NamedTensors InitialTransformer(const TransformerConfig& config, at::Generator generator) {
  const int64_t dim = config.dim();
  const int64_t patch = config.patch_size;
  const int64_t pixels = config.in_channels * patch * patch;
  Initializer init(std::move(generator));
  init.Uniform("pos_embed.proj.weight", {dim, config.in_channels, patch, patch},
               std::sqrt(6.0 / (pixels + dim)));
  init.Zero("pos_embed.proj.bias", {dim});

  const bool dit = config.architecture == Architecture::kDit;
  const std::string embedder = dit ? "transformer_blocks.0.norm1.emb." : "adaln_single.emb.";
  init.Normal(embedder + "timestep_embedder.linear_1.weight", {dim, kTimestepDim}, kEmbeddingStd);
  init.Zero(embedder + "timestep_embedder.linear_1.bias", {dim});
  init.Normal(embedder + "timestep_embedder.linear_2.weight", {dim, dim}, kEmbeddingStd);
  init.Zero(embedder + "timestep_embedder.linear_2.bias", {dim});
  if (dit) {
    init.Normal(embedder + "class_embedder.embedding_table.weight", {config.num_classes + 1, dim},
                kEmbeddingStd);
  } else {
    init.Normal("adaln_single.linear.weight", {kBlockModulations * dim, dim}, kEmbeddingStd);
    init.Zero("adaln_single.linear.bias", {kBlockModulations * dim});
    init.Normal("scale_shift_table", {2, dim}, 1.0 / std::sqrt(dim));
  }
  if (config.caption_channels > 0) {
    init.Linear("caption_projection.linear_1", config.caption_channels, dim);
    init.Linear("caption_projection.linear_2", dim, dim);
  }
  for (int64_t i = 0; i < config.num_layers; ++i) {
    Block(absl::StrCat("transformer_blocks.", i), config, init);
  }
  if (dit) init.ZeroLinear("proj_out_1", dim, 2 * dim);
  init.ZeroLinear(dit ? "proj_out_2" : "proj_out", dim, patch * patch * config.out_channels);
  return init.Take();
}

NamedTensors InitialT5(const T5Config& config, at::Generator generator) {
  const int64_t inner = config.num_heads * config.d_kv;
  Initializer init(std::move(generator));
  const auto linear = [&](const std::string& name, int64_t in, int64_t out, int64_t fan) {
    init.Normal(name + ".weight", {out, in}, 1.0 / std::sqrt(fan));
  };
  init.Normal("shared.weight", {config.vocab_size, config.d_model}, 1.0);
  init.Normal("encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight",
              {config.relative_attention_num_buckets, config.num_heads},
              1.0 / std::sqrt(config.d_model));
  for (int64_t i = 0; i < config.num_layers; ++i) {
    const std::string attention = absl::StrCat("encoder.block.", i, ".layer.0.");
    const std::string feed_forward = absl::StrCat("encoder.block.", i, ".layer.1.");
    init.One(attention + "layer_norm.weight", {config.d_model});
    linear(attention + "SelfAttention.q", config.d_model, inner, config.d_model * config.d_kv);
    linear(attention + "SelfAttention.k", config.d_model, inner, config.d_model);
    linear(attention + "SelfAttention.v", config.d_model, inner, config.d_model);
    linear(attention + "SelfAttention.o", inner, config.d_model, inner);
    init.One(feed_forward + "layer_norm.weight", {config.d_model});
    if (config.gated) {
      linear(feed_forward + "DenseReluDense.wi_0", config.d_model, config.d_ff, config.d_model);
      linear(feed_forward + "DenseReluDense.wi_1", config.d_model, config.d_ff, config.d_model);
    } else {
      linear(feed_forward + "DenseReluDense.wi", config.d_model, config.d_ff, config.d_model);
    }
    linear(feed_forward + "DenseReluDense.wo", config.d_ff, config.d_model, config.d_ff);
  }
  init.One("encoder.final_layer_norm.weight", {config.d_model});
  return init.Take();
}

NamedTensors InitialFeedback(const FeedbackConfig& config, const TransformerConfig& backbone,
                             at::Generator generator) {
  Initializer init(std::move(generator));
  Block("block", backbone, init);
  init.Zero("scales", {config.inner.end - config.inner.begin});
  return init.Take();
}

absl::Status TakeWeights(const std::string& folder, const std::string& name,
                         NamedTensors& initial) {
  ILF_ASSIGN_OR_RETURN(StateDict weights, StateDict::LoadFolder(folder, name));
  for (auto& [key, tensor] : initial) {
    ILF_ASSIGN_OR_RETURN(tensor, weights.Take(key, tensor.sizes()));
  }
  for (const std::string& key : weights.Names()) {
    if (absl::StrContains(key, ".norm1.emb.")) weights.Ignore(key);
  }
  return weights.CheckAllConsumed();
}

NamedTensors WithEmbedderCopies(const NamedTensors& weights, const TransformerConfig& config) {
  if (config.architecture != Architecture::kDit) return weights;
  const std::string first = "transformer_blocks.0.norm1.emb.";
  NamedTensors all = weights;
  for (const auto& [name, tensor] : weights) {
    if (!absl::StartsWith(name, first)) continue;
    for (int64_t i = 1; i < config.num_layers; ++i) {
      all[absl::StrCat("transformer_blocks.", i, ".norm1.emb.", name.substr(first.size()))] =
          tensor;
    }
  }
  return all;
}

}  // namespace ilf
