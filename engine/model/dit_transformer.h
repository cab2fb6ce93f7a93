// Class-conditional diffusion transformer (Peebles & Xie, "Scalable Diffusion Models with
// Transformers"; diffusers DiTTransformer2DModel).
#pragma once

#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

#include "absl/status/statusor.h"
#include "engine/checkpoint/state_dict.h"
#include "engine/model/dit_block.h"
#include "engine/model/dit_conditioning.h"
#include "engine/model/dit_config.h"
#include "engine/model/execution.h"
#include "engine/model/linear.h"

namespace ilf {

// Blocks begin .. end - 1.
struct BlockRange {
  int64_t begin = 0;
  int64_t end = 0;
};

// Const after construction and thread-safe. Each row of a batch has its own timestep and class, and
// with batch_invariant execution its output does not depend on the other rows, to the bit.
class DitTransformer {
 public:
  // Takes every tensor of `weights`; a missing, misshapen or left-over one is an error that names
  // it.
  static absl::StatusOr<DitTransformer> Load(const DitConfig& config, StateDict& weights,
                                             const Execution& execution);

  // latents [rows, in_channels, side, side], timesteps [rows] float32 (fractions allowed), classes
  // [rows] int64 in [0, num_classes], where num_classes is the null class
  // -> [rows, out_channels, side, side] float32 (under autocast its dtype); with learned sigma the
  // first in_channels are the prediction.
  at::Tensor operator()(const at::Tensor& latents, const at::Tensor& timesteps,
                        const at::Tensor& classes) const;

  // The same in its parts, for passes that do not run every block once:
  //   Finish(RunBlocks(Embed(latents), {0, num_layers}, condition), condition)
  // x is the residual stream, [rows, tokens, dim] float32.
  DitCondition Condition(const at::Tensor& timesteps, const at::Tensor& classes) const;
  at::Tensor Embed(const at::Tensor& latents) const;
  at::Tensor RunBlocks(at::Tensor x, BlockRange range, const DitCondition& condition) const;
  at::Tensor Finish(const at::Tensor& x, const DitCondition& condition) const;

  const DitConfig& config() const { return config_; }

 private:
  explicit DitTransformer(const DitConfig& config) : config_(config) {}

  at::Tensor Unpatchify(const at::Tensor& x) const;

  DitConfig config_;
  Linear patch_embedding_;         // a patch's pixels -> dim
  at::Tensor position_embedding_;  // [tokens, dim] float32
  DitConditioning conditioning_;
  std::vector<DitBlock> blocks_;
  Linear final_modulation_;  // shift, scale
  Linear final_projection_;  // dim -> a patch's pixels
};

}  // namespace ilf
