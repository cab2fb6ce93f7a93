// The module that Inner Loop Feedback trains: one block, shaped like a block of the frozen
// backbone, and one scale for each block of the inner loop. docs/ilf.md has the method and its
// equations.
#pragma once

#include <cstdint>
#include <optional>

#include <ATen/core/Tensor.h>

#include "absl/status/statusor.h"
#include "engine/checkpoint/json_config.h"
#include "engine/checkpoint/state_dict.h"
#include "engine/model/execution.h"
#include "engine/model/transformer.h"
#include "engine/model/transformer_block.h"
#include "engine/model/transformer_condition.h"
#include "engine/model/transformer_config.h"

namespace ilf {

// Which timestep a part of a feedback pass is told: that of the step, or the one that the pass aims
// at.
enum class FeedbackTimestep { kSource, kTarget };

struct FeedbackConfig {
  BlockRange inner;                                                // the blocks that run again
  int extra_loops = 1;                                             // how many times they do
  FeedbackTimestep feedback_timestep = FeedbackTimestep::kSource;  // of the feedback block
  FeedbackTimestep inner_timestep = FeedbackTimestep::kSource;     // of the loops after the first
  FeedbackTimestep deep_timestep =
      FeedbackTimestep::kSource;  // of the blocks after the loop, and the final layer

  // Blocks that a feedback pass runs on a row beyond those of a plain pass.
  int64_t extra_blocks() const { return extra_loops * (inner.end - inner.begin + 1); }

  // Whether any part of a feedback pass is told the target's timestep.
  bool UsesTarget() const {
    return feedback_timestep == FeedbackTimestep::kTarget ||
           inner_timestep == FeedbackTimestep::kTarget ||
           deep_timestep == FeedbackTimestep::kTarget;
  }

  // Keys first_inner_block (from 0), inner_blocks, extra_loops, feedback_timestep, inner_timestep,
  // deep_timestep ("source" or "target"). INVALID_ARGUMENT names the file, the key and the limit.
  static absl::StatusOr<FeedbackConfig> FromJson(const JsonConfig& json,
                                                 const TransformerConfig& backbone);
};

// Const after construction and thread-safe.
class FeedbackModule {
 public:
  // Takes every tensor of `weights`: scales [inner blocks] and, under diffusers' names of a
  // BasicTransformerBlock, block.attn1, block.ff, and block.norm1.linear with a DiT (the embedder
  // is the backbone's), block.attn2 and block.scale_shift_table with a PixArt.
  static absl::StatusOr<FeedbackModule> Load(const FeedbackConfig& config,
                                             const TransformerConfig& backbone, StateDict& weights,
                                             const Execution& execution);

  // In the .cc: inlined, they make GCC 12 warn of uninitialized members that are not.
  FeedbackModule(FeedbackModule&&) noexcept;
  FeedbackModule& operator=(FeedbackModule&&) noexcept;
  ~FeedbackModule();

  const FeedbackConfig& config() const { return config_; }

  // What the loop feeds back: inner_output [tokens, dim] float32, the output of the last inner
  // block, rows packed as the condition's layout says -> the same shape. The condition's modulation
  // does not count: the block has its own.
  at::Tensor operator()(const at::Tensor& inner_output,
                        const TransformerCondition& condition) const;

  // Adds to what a backbone that reads text has made of a prompt (Transformer::ReadPrompt) what the
  // module's own cross-attention reads. Nothing with a DiT.
  void ReadPrompt(PromptContext& context) const;

  // Factor of the feedback at the input of inner block `i` (from 0), a scalar tensor.
  at::Tensor Scale(int64_t i) const { return scales_[i]; }

 private:
  explicit FeedbackModule(const FeedbackConfig& config) : config_(config) {}

  FeedbackConfig config_;
  int64_t prompt_place_ = 0;          // of its keys and values in a PromptContext
  std::optional<Linear> modulation_;  // of a DiT
  at::Tensor modulation_table_;       // of a PixArt, [6 * dim] float32
  TransformerBlock block_;
  at::Tensor scales_;  // [inner blocks] float32
};

}  // namespace ilf
