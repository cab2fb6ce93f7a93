#include "engine/model/transformer.h"

#include <limits>
#include <string>
#include <utility>

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/zeros.h>

#include "absl/strings/str_cat.h"
#include "engine/base/check.h"
#include "engine/base/status_macros.h"

namespace ilf {
namespace {

constexpr double kFinalNormEps = 1e-6;
constexpr char kMicroConditions[] = "adaln_single.emb.resolution_embedder.linear_1.weight";

// What a config may leave to the weights to tell.
TransformerConfig Resolve(TransformerConfig config, const StateDict& weights) {
  if (config.architecture == Architecture::kPixArt && !config.micro_conditions) {
    config.micro_conditions = weights.Has(kMicroConditions);
  }
  return config;
}

}  // namespace

Transformer::Transformer(const TransformerConfig& config, c10::Device device)
    : config_(config), positions_(std::make_unique<PositionTable>(config, device)) {}

absl::StatusOr<Transformer> Transformer::Load(const TransformerConfig& given, StateDict& weights,
                                              const Execution& execution) {
  const TransformerConfig config = Resolve(given, weights);
  const bool pixart = config.architecture == Architecture::kPixArt;
  const int64_t dim = config.dim();
  const int64_t patch = config.patch_size;
  LinearBuilder builder(execution);
  LinearBuilder float32_builder(execution.InFloat32());
  Transformer model(config, execution.device);

  // The patch embedding is a convolution whose stride is its size: a linear layer on each patch's
  // pixels.
  ILF_ASSIGN_OR_RETURN(
      const at::Tensor kernel,
      weights.Take("pos_embed.proj.weight", {dim, config.in_channels, patch, patch}));
  ILF_ASSIGN_OR_RETURN(const at::Tensor bias, weights.Take("pos_embed.proj.bias", {dim}));
  const Execution& float32 = float32_builder.execution();
  model.patch_embedding_ = Linear(Place(kernel.flatten(1), float32), Place(bias, float32),
                                  RowKind::kTokens, float32_builder);

  ILF_ASSIGN_OR_RETURN(model.conditioning_,
                       pixart ? LoadPixArtConditioning(weights, config, float32_builder)
                              : LoadDitConditioning(weights, config, float32_builder));
  if (config.caption_channels > 0) {
    ILF_ASSIGN_OR_RETURN(
        model.caption_in_,
        Linear::Load(weights, "caption_projection.linear_1", config.caption_channels, dim,
                     RowKind::kTokens, float32_builder, Activation::kGeluTanh));
    ILF_ASSIGN_OR_RETURN(model.caption_out_,
                         Linear::Load(weights, "caption_projection.linear_2", dim, dim,
                                      RowKind::kTokens, float32_builder));
  }
  for (int64_t i = 0; i < config.num_layers; ++i) {
    ILF_ASSIGN_OR_RETURN(
        TransformerBlock block,
        TransformerBlock::Load(weights, absl::StrCat("transformer_blocks.", i), config, builder));
    model.blocks_.push_back(std::move(block));
  }
  ILF_ASSIGN_OR_RETURN(
      model.final_projection_,
      Linear::Load(weights, pixart ? "proj_out" : "proj_out_2", dim,
                   patch * patch * config.out_channels, RowKind::kTokens, float32_builder));
  ILF_RETURN_IF_ERROR(weights.CheckAllConsumed());
  return model;
}

at::Tensor Transformer::operator()(const at::Tensor& latents, const at::Tensor& timesteps,
                                   const RowConditions& rows) const {
  return (*this)({&latents, 1}, timesteps, rows).front();
}

std::vector<at::Tensor> Transformer::operator()(absl::Span<const at::Tensor> latents,
                                                const at::Tensor& timesteps,
                                                const RowConditions& rows) const {
  const TransformerCondition condition = Condition(timesteps, rows, LayoutOf(latents));
  return Finish(RunBlocks(Embed(latents), {0, config_.num_layers}, condition), condition);
}

TokenLayout Transformer::LayoutOf(absl::Span<const at::Tensor> latents) const {
  TokenLayout layout;
  for (const at::Tensor& part : latents) layout.Append(GridOf(part), part.size(0));
  Check(layout.groups().size() == latents.size(), "neighbouring latents differ in size");
  return layout;
}

TransformerCondition Transformer::Condition(const at::Tensor& timesteps, const RowConditions& rows,
                                            TokenLayout layout) const {
  TransformerCondition::Parts parts = (*conditioning_)(timesteps, rows);
  parts.layout = std::move(layout);
  return TransformerCondition(std::move(parts));
}

at::Tensor Transformer::Embed(absl::Span<const at::Tensor> latents) const {
  std::vector<at::Tensor> patches;
  for (const at::Tensor& part : latents) patches.push_back(Patchify(part));
  const at::Tensor embedded = patch_embedding_(patches.size() == 1 ? patches[0] : at::cat(patches));
  return ByGroup(LayoutOf(latents), [&](const TokenLayout::Group& group) {
    return PartOf(embedded, group) + (*positions_)(group.grid);
  });
}

at::Tensor Transformer::RunBlocks(at::Tensor x, BlockRange range,
                                  const TransformerCondition& condition) const {
  for (int64_t i = range.begin; i < range.end; ++i) {
    x = blocks_[i](x, condition.layout(), condition.Block(i), condition.prompts(), i);
  }
  return x;
}

std::vector<at::Tensor> Transformer::Finish(const at::Tensor& x,
                                            const TransformerCondition& condition) const {
  const std::vector<at::Tensor> m = condition.Final();
  const at::Tensor patches = final_projection_(
      NormAndModulate(x, condition.layout(), kFinalNormEps, m[0], m[1], at::kFloat));
  std::vector<at::Tensor> outputs;
  for (const TokenLayout::Group& group : condition.layout().groups()) {
    outputs.push_back(Unpatchify(PartOf(patches, group), group.grid));
  }
  return outputs;
}

PromptContext Transformer::ReadPrompt(const at::Tensor& embeddings, const at::Tensor& mask) const {
  PromptContext context;
  context.tokens = embeddings.to(at::kFloat);
  if (caption_in_) context.tokens = (*caption_out_)((*caption_in_)(context.tokens)).to(at::kFloat);
  if (mask.defined()) {
    context.bias = at::zeros(mask.sizes(), context.tokens.options())
                       .masked_fill_(mask.logical_not(), -std::numeric_limits<double>::infinity())
                       .unsqueeze(1)
                       .unsqueeze(1);
  }
  for (const TransformerBlock& block : blocks_) {
    context.keys_values.push_back(block.ProjectPrompt(context.tokens));
  }
  return context;
}

TokenGrid Transformer::GridOf(const at::Tensor& latents) const {
  return {latents.size(2) / config_.patch_size, latents.size(3) / config_.patch_size};
}

// [rows, channels, height, width] -> [rows * tokens, channels * patch * patch]
at::Tensor Transformer::Patchify(const at::Tensor& latents) const {
  const TokenGrid grid = GridOf(latents);
  const int64_t patch = config_.patch_size;
  return latents.to(at::kFloat)
      .reshape({-1, config_.in_channels, grid.height, patch, grid.width, patch})
      .permute({0, 2, 4, 1, 3, 5})
      .reshape({-1, config_.in_channels * patch * patch});
}

// [rows, tokens, patch * patch * channels] -> [rows, channels, height, width]
at::Tensor Transformer::Unpatchify(const at::Tensor& x, const TokenGrid& grid) const {
  const int64_t patch = config_.patch_size;
  return x.reshape({-1, grid.height, grid.width, patch, patch, config_.out_channels})
      .permute({0, 5, 1, 3, 2, 4})
      .reshape({-1, config_.out_channels, grid.height * patch, grid.width * patch});
}

}  // namespace ilf
