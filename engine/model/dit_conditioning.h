// What tells a DiT the timestep and the class: embedders, and every block's modulation.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "absl/status/statusor.h"
#include "engine/checkpoint/state_dict.h"
#include "engine/model/dit_block.h"
#include "engine/model/dit_config.h"
#include "engine/model/linear.h"

namespace ilf {

// Timestep and class as one vector (diffusers CombinedTimestepLabelEmbeddings), in float32
// throughout.
class ConditionEmbedder {
 public:
  // `prefix` is "transformer_blocks.N.norm1.emb".
  static absl::StatusOr<ConditionEmbedder> Load(StateDict& weights, const std::string& prefix,
                                                const DitConfig& config, LinearBuilder& builder);

  // timesteps [rows] float32, classes [rows] int64 -> SiLU(embedding) [rows, dim] float32.
  at::Tensor operator()(const at::Tensor& timesteps, const at::Tensor& classes) const;

 private:
  Execution execution_;
  Linear linear_1_, linear_2_;
  at::Tensor class_table_;  // [classes + 1, dim]; the last row is the null class
};

// The condition of some rows as every block needs it. Cheap to copy; its tensors are shared.
class DitCondition {
 public:
  // embedding: [rows, dim] float32. modulations: one tensor of all blocks, [rows, layers * 6 *
  // dim], or one a block, [rows, 6 * dim].
  DitCondition(at::Tensor embedding, std::vector<at::Tensor> modulations, int64_t num_layers);

  // SiLU(embedding) of block 0, [rows, dim] float32.
  const at::Tensor& embedding() const { return embedding_; }
  BlockModulation Block(int64_t block) const;
  // The condition of the rows `index` [n] int64, in that order.
  DitCondition Rows(const at::Tensor& index) const;

 private:
  at::Tensor embedding_;
  std::vector<at::Tensor> modulations_;
  int64_t num_layers_;
};

// Published checkpoints repeat the embedder in every block. Where the copies are equal it runs
// once, and the modulation of all blocks is one matrix product; where they differ each block keeps
// its own.
class DitConditioning {
 public:
  static absl::StatusOr<DitConditioning> Load(StateDict& weights, const DitConfig& config,
                                              LinearBuilder& builder);

  // timesteps [rows] float32, classes [rows] int64.
  DitCondition operator()(const at::Tensor& timesteps, const at::Tensor& classes) const;

 private:
  std::vector<ConditionEmbedder> embedders_;  // one, or one a block
  std::vector<Linear> modulations_;           // one of all blocks, or one a block
  int64_t num_layers_ = 0;
};

}  // namespace ilf
