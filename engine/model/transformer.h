// Diffusion transformers: class-conditional DiT (Peebles & Xie, "Scalable Diffusion Models with
// Transformers"; diffusers DiTTransformer2DModel) and text-conditional PixArt (Chen et al.,
// "PixArt-alpha" and "PixArt-Sigma"; diffusers PixArtTransformer2DModel). They share everything but
// their conditioning, and PixArt's blocks have cross-attention.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include <ATen/core/Tensor.h>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/checkpoint/state_dict.h"
#include "engine/model/conditioning.h"
#include "engine/model/execution.h"
#include "engine/model/linear.h"
#include "engine/model/position_table.h"
#include "engine/model/prompt_context.h"
#include "engine/model/row_conditions.h"
#include "engine/model/token_layout.h"
#include "engine/model/transformer_block.h"
#include "engine/model/transformer_condition.h"
#include "engine/model/transformer_config.h"

namespace ilf {

// Blocks begin .. end - 1.
struct BlockRange {
  int64_t begin = 0;
  int64_t end = 0;
};

// Const after construction and thread-safe. Each row of a batch has its own timestep and condition,
// and with batch_invariant execution its output does not depend on the other rows, to the bit.
class Transformer {
 public:
  // Takes every tensor of `weights`; a missing, misshapen or left-over one is an error that names
  // it.
  static absl::StatusOr<Transformer> Load(const TransformerConfig& config, StateDict& weights,
                                          const Execution& execution);

  // latents [rows, in_channels, height, width], sides divisible by patch_size (those of a DiT:
  // sample_size); timesteps [rows] float32 (fractions allowed)
  // -> [rows, out_channels, height, width] float32 (under autocast its dtype); with learned sigma
  // the first in_channels are the prediction.
  at::Tensor operator()(const at::Tensor& latents, const at::Tensor& timesteps,
                        const RowConditions& rows) const;

  // The same for rows of several sizes in one pass: each of `latents` as above, neighbours of
  // different sizes; the rows are numbered through. -> an output for each of `latents`.
  std::vector<at::Tensor> operator()(absl::Span<const at::Tensor> latents,
                                     const at::Tensor& timesteps, const RowConditions& rows) const;

  // That in its parts, for passes that do not run every block once:
  //   condition = Condition(timesteps, rows, LayoutOf(latents))
  //   Finish(RunBlocks(Embed(latents), {0, num_layers}, condition), condition)
  // x is the residual stream, [tokens, dim] float32, rows packed as the condition's layout says.
  TokenLayout LayoutOf(absl::Span<const at::Tensor> latents) const;
  TransformerCondition Condition(const at::Tensor& timesteps, const RowConditions& rows,
                                 TokenLayout layout) const;
  at::Tensor Embed(absl::Span<const at::Tensor> latents) const;
  at::Tensor RunBlocks(at::Tensor x, BlockRange range, const TransformerCondition& condition) const;
  std::vector<at::Tensor> Finish(const at::Tensor& x, const TransformerCondition& condition) const;

  // PixArt: a prompt for RowConditions, with the keys and values of every block. embeddings
  // [prompts, tokens, text_channels], the text encoder's output; mask [prompts, tokens] bool, false
  // at padding, or undefined where there is none.
  PromptContext ReadPrompt(const at::Tensor& embeddings, const at::Tensor& mask = {}) const;

  const TransformerConfig& config() const { return config_; }

 private:
  Transformer(const TransformerConfig& config, c10::Device device);

  TokenGrid GridOf(const at::Tensor& latents) const;
  at::Tensor Patchify(const at::Tensor& latents) const;
  at::Tensor Unpatchify(const at::Tensor& x, const TokenGrid& grid) const;

  TransformerConfig config_;
  Linear patch_embedding_;  // a patch's pixels -> dim
  std::unique_ptr<const PositionTable> positions_;
  std::unique_ptr<const Conditioning> conditioning_;
  std::optional<Linear> caption_in_, caption_out_;  // the caption projection; in with GELU
  std::vector<TransformerBlock> blocks_;
  Linear final_projection_;  // dim -> a patch's pixels
};

}  // namespace ilf
