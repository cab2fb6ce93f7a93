#include "engine/model/dit_transformer.h"

#include <string>
#include <utility>

#include <ATen/TensorOperators.h>

#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "engine/model/embeddings.h"

namespace ilf {
namespace {

constexpr double kFinalNormEps = 1e-6;

}  // namespace

absl::StatusOr<DitTransformer> DitTransformer::Load(const DitConfig& config, StateDict& weights,
                                                    const Execution& execution) {
  const int64_t dim = config.dim();
  const int64_t patch = config.patch_size;
  LinearBuilder builder(execution);
  LinearBuilder float32_builder(execution.InFloat32());
  DitTransformer model(config);

  // The patch embedding is a convolution whose stride is its size: a linear layer on each patch's
  // pixels.
  ILF_ASSIGN_OR_RETURN(
      const at::Tensor kernel,
      weights.Take("pos_embed.proj.weight", {dim, config.in_channels, patch, patch}));
  ILF_ASSIGN_OR_RETURN(const at::Tensor bias, weights.Take("pos_embed.proj.bias", {dim}));
  const Execution& float32 = float32_builder.execution();
  model.patch_embedding_ = Linear(Place(kernel.flatten(1), float32), Place(bias, float32),
                                  RowKind::kTokens, float32_builder);
  const int64_t side = config.tokens_per_side();
  model.position_embedding_ =
      PositionEmbedding(dim, side, side, side, /*interpolation_scale=*/1.0).to(execution.device);

  ILF_ASSIGN_OR_RETURN(model.conditioning_, DitConditioning::Load(weights, config, builder));
  const DitBlockConfig block_config = {config.num_attention_heads, config.attention_head_dim,
                                       config.norm_eps};
  for (int64_t i = 0; i < config.num_layers; ++i) {
    ILF_ASSIGN_OR_RETURN(
        DitBlock block,
        DitBlock::Load(weights, absl::StrCat("transformer_blocks.", i), block_config, builder));
    model.blocks_.push_back(std::move(block));
  }
  ILF_ASSIGN_OR_RETURN(
      model.final_modulation_,
      Linear::Load(weights, "proj_out_1", dim, 2 * dim, RowKind::kConditions, float32_builder));
  ILF_ASSIGN_OR_RETURN(model.final_projection_,
                       Linear::Load(weights, "proj_out_2", dim, patch * patch * config.out_channels,
                                    RowKind::kTokens, float32_builder));
  ILF_RETURN_IF_ERROR(weights.CheckAllConsumed());
  return model;
}

at::Tensor DitTransformer::operator()(const at::Tensor& latents, const at::Tensor& timesteps,
                                      const at::Tensor& classes) const {
  const DitCondition condition = Condition(timesteps, classes);
  return Finish(RunBlocks(Embed(latents), {0, config_.num_layers}, condition), condition);
}

DitCondition DitTransformer::Condition(const at::Tensor& timesteps,
                                       const at::Tensor& classes) const {
  return conditioning_(timesteps, classes);
}

at::Tensor DitTransformer::Embed(const at::Tensor& latents) const {
  const int64_t side = config_.tokens_per_side();
  const int64_t patch = config_.patch_size;
  const at::Tensor patches = latents.to(at::kFloat)
                                 .reshape({-1, config_.in_channels, side, patch, side, patch})
                                 .permute({0, 2, 4, 1, 3, 5})
                                 .reshape({-1, side * side, config_.in_channels * patch * patch});
  return patch_embedding_(patches) + position_embedding_;
}

at::Tensor DitTransformer::RunBlocks(at::Tensor x, BlockRange range,
                                     const DitCondition& condition) const {
  for (int64_t i = range.begin; i < range.end; ++i) x = blocks_[i](x, condition.Block(i));
  return x;
}

at::Tensor DitTransformer::Finish(const at::Tensor& x, const DitCondition& condition) const {
  const std::vector<at::Tensor> m =
      final_modulation_(condition.embedding()).to(at::kFloat).unsqueeze(1).chunk(2, -1);
  return Unpatchify(final_projection_(NormAndModulate(x, kFinalNormEps, m[0], m[1], at::kFloat)));
}

// [rows, tokens, patch * patch * channels] -> [rows, channels, side, side]
at::Tensor DitTransformer::Unpatchify(const at::Tensor& x) const {
  const int64_t side = config_.tokens_per_side();
  const int64_t patch = config_.patch_size;
  return x.reshape({-1, side, side, patch, patch, config_.out_channels})
      .permute({0, 5, 1, 3, 2, 4})
      .reshape({-1, config_.out_channels, side * patch, side * patch});
}

}  // namespace ilf
