#include "engine/model/autoencoder_kl.h"

#include <string>
#include <utility>

#include <ATen/ops/clamp.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/upsample_nearest2d.h>

#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"

namespace ilf {
namespace {

absl::StatusOr<std::vector<ResnetBlock>> LoadResnets(StateDict& weights, const std::string& prefix,
                                                     int64_t count, int64_t in, int64_t out,
                                                     int64_t groups, const Execution& execution) {
  std::vector<ResnetBlock> blocks;
  for (int64_t i = 0; i < count; ++i) {
    ILF_ASSIGN_OR_RETURN(ResnetBlock block,
                         ResnetBlock::Load(weights, absl::StrCat(prefix, ".resnets.", i),
                                           i == 0 ? in : out, out, groups, execution));
    blocks.push_back(std::move(block));
  }
  return blocks;
}

}  // namespace

absl::StatusOr<VaeEncoder> VaeEncoder::Load(const AutoencoderConfig& config, StateDict& weights,
                                            const Execution& execution) {
  const std::vector<int64_t>& channels = config.block_out_channels;
  const int64_t groups = config.norm_num_groups;
  VaeEncoder encoder;
  ILF_ASSIGN_OR_RETURN(encoder.conv_in_,
                       Conv2d::Load(weights, "encoder.conv_in", config.image_channels,
                                    channels.front(), 3, execution));
  for (size_t i = 0; i < channels.size(); ++i) {
    const std::string prefix = absl::StrCat("encoder.down_blocks.", i);
    Level level;
    ILF_ASSIGN_OR_RETURN(level.resnets,
                         LoadResnets(weights, prefix, config.layers_per_block,
                                     channels[i == 0 ? 0 : i - 1], channels[i], groups, execution));
    if (i + 1 < channels.size()) {
      ILF_ASSIGN_OR_RETURN(level.downsample, Conv2d::Load(weights, prefix + ".downsamplers.0.conv",
                                                          channels[i], channels[i], 3, execution));
      level.downsample->stride = 2;
      level.downsample->padding = 0;
    }
    encoder.levels_.push_back(std::move(level));
  }
  const int64_t last = channels.back();
  const int64_t moments = 2 * config.latent_channels;
  ILF_ASSIGN_OR_RETURN(encoder.mid_, MidBlock::Load(weights, "encoder.mid_block", last, groups,
                                                    config.mid_block_add_attention, execution));
  ILF_ASSIGN_OR_RETURN(encoder.norm_out_,
                       GroupNorm::Load(weights, "encoder.conv_norm_out", last, groups, execution));
  ILF_ASSIGN_OR_RETURN(encoder.conv_out_,
                       Conv2d::Load(weights, "encoder.conv_out", last, moments, 3, execution));
  if (config.use_quant_conv) {
    ILF_ASSIGN_OR_RETURN(encoder.quant_conv_,
                         Conv2d::Load(weights, "quant_conv", moments, moments, 1, execution));
  }
  return encoder;
}

LatentDistribution VaeEncoder::operator()(const at::Tensor& images) const {
  at::Tensor x = conv_in_(images);
  for (const Level& level : levels_) {
    for (const ResnetBlock& block : level.resnets) x = block(x);
    // One column on the right and one row below, as the strided convolution was trained.
    if (level.downsample) x = (*level.downsample)(at::constant_pad_nd(x, {0, 1, 0, 1}));
  }
  x = conv_out_(at::silu(norm_out_(mid_(x))));
  if (quant_conv_) x = (*quant_conv_)(x);
  const std::vector<at::Tensor> moments = x.chunk(2, 1);
  return {moments[0], at::clamp(moments[1], -30.0, 20.0)};
}

absl::StatusOr<VaeDecoder> VaeDecoder::Load(const AutoencoderConfig& config, StateDict& weights,
                                            const Execution& execution) {
  const std::vector<int64_t> channels(config.block_out_channels.rbegin(),
                                      config.block_out_channels.rend());  // coarsest first
  const int64_t groups = config.norm_num_groups;
  const int64_t latent = config.latent_channels;
  VaeDecoder decoder;
  if (config.use_post_quant_conv) {
    ILF_ASSIGN_OR_RETURN(decoder.post_quant_conv_,
                         Conv2d::Load(weights, "post_quant_conv", latent, latent, 1, execution));
  }
  ILF_ASSIGN_OR_RETURN(decoder.conv_in_, Conv2d::Load(weights, "decoder.conv_in", latent,
                                                      channels.front(), 3, execution));
  ILF_ASSIGN_OR_RETURN(decoder.mid_,
                       MidBlock::Load(weights, "decoder.mid_block", channels.front(), groups,
                                      config.mid_block_add_attention, execution));
  for (size_t i = 0; i < channels.size(); ++i) {
    const std::string prefix = absl::StrCat("decoder.up_blocks.", i);
    Level level;
    ILF_ASSIGN_OR_RETURN(level.resnets,
                         LoadResnets(weights, prefix, config.layers_per_block + 1,
                                     channels[i == 0 ? 0 : i - 1], channels[i], groups, execution));
    if (i + 1 < channels.size()) {
      ILF_ASSIGN_OR_RETURN(level.upsample, Conv2d::Load(weights, prefix + ".upsamplers.0.conv",
                                                        channels[i], channels[i], 3, execution));
    }
    decoder.levels_.push_back(std::move(level));
  }
  ILF_ASSIGN_OR_RETURN(decoder.norm_out_, GroupNorm::Load(weights, "decoder.conv_norm_out",
                                                          channels.back(), groups, execution));
  ILF_ASSIGN_OR_RETURN(decoder.conv_out_, Conv2d::Load(weights, "decoder.conv_out", channels.back(),
                                                       config.image_channels, 3, execution));
  return decoder;
}

at::Tensor VaeDecoder::operator()(const at::Tensor& latents) const {
  at::Tensor x = mid_(conv_in_(post_quant_conv_ ? (*post_quant_conv_)(latents) : latents));
  for (const Level& level : levels_) {
    for (const ResnetBlock& block : level.resnets) x = block(x);
    if (level.upsample) {
      x = (*level.upsample)(at::upsample_nearest2d(x, {x.size(2) * 2, x.size(3) * 2}));
    }
  }
  return conv_out_(at::silu(norm_out_(x)));
}

absl::StatusOr<AutoencoderKl> AutoencoderKl::Load(const AutoencoderConfig& config,
                                                  StateDict& weights, const Execution& execution) {
  ILF_ASSIGN_OR_RETURN(VaeEncoder encoder, VaeEncoder::Load(config, weights, execution));
  ILF_ASSIGN_OR_RETURN(VaeDecoder decoder, VaeDecoder::Load(config, weights, execution));
  ILF_RETURN_IF_ERROR(weights.CheckAllConsumed());
  return AutoencoderKl(config, execution, std::move(encoder), std::move(decoder));
}

AutoencoderKl::AutoencoderKl(const AutoencoderConfig& config, const Execution& execution,
                             VaeEncoder encoder, VaeDecoder decoder)
    : config_(config),
      execution_(execution),
      encoder_(std::move(encoder)),
      decoder_(std::move(decoder)) {}

LatentDistribution AutoencoderKl::Encode(const at::Tensor& images) const {
  return encoder_(images.to(execution_.dtype));
}

at::Tensor AutoencoderKl::Decode(const at::Tensor& latents) const {
  return decoder_(latents.to(execution_.dtype));
}

at::Tensor AutoencoderKl::DecodeScaled(const at::Tensor& latents) const {
  return Decode(latents.div(config_.scaling_factor));
}

}  // namespace ilf
