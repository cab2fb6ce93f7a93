// What tells a transformer the timestep and what to show: embedders, and every block's modulation.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "absl/status/statusor.h"
#include "engine/checkpoint/state_dict.h"
#include "engine/model/linear.h"
#include "engine/model/row_conditions.h"
#include "engine/model/transformer_condition.h"
#include "engine/model/transformer_config.h"

namespace ilf {

// A sinusoidal embedding through linear, SiLU and linear (diffusers TimestepEmbedding), in float32.
// Thread-safe.
class SinusoidEmbedder {
 public:
  // Reads `prefix`.linear_1 and .linear_2; `dim`: width of the result. `frequency_shift` as in
  // TimestepEmbedding.
  static absl::StatusOr<SinusoidEmbedder> Load(StateDict& weights, const std::string& prefix,
                                               int64_t dim, double frequency_shift,
                                               LinearBuilder& builder);

  // values [n] float32 -> [n, dim] float32.
  at::Tensor operator()(const at::Tensor& values) const;

 private:
  Execution execution_;
  double frequency_shift_ = 0.0;
  Linear linear_1_, linear_2_;
};

// Thread-safe.
class Conditioning {
 public:
  virtual ~Conditioning() = default;

  // timesteps [rows] float32. All but the layout.
  virtual TransformerCondition::Parts operator()(const at::Tensor& timesteps,
                                                 const RowConditions& rows) const = 0;
};

// A DiT's: adaLN-Zero, every block with a modulation of its own of the timestep and class
// embedding (Peebles & Xie, section 3.2). Published checkpoints repeat the embedder in every block.
// Where the copies are equal it runs once, and the modulation of all blocks is one matrix product;
// where they differ each block keeps its own.
absl::StatusOr<std::unique_ptr<Conditioning>> LoadDitConditioning(StateDict& weights,
                                                                  const TransformerConfig& config,
                                                                  LinearBuilder& builder);

// A PixArt's: adaLN-single, one modulation of the timestep for all blocks, to which each adds a
// table of its own (Chen et al., "PixArt-alpha", section 2.3). With micro-conditions the size and
// the aspect ratio of the picture are embedded beside the timestep.
absl::StatusOr<std::unique_ptr<Conditioning>> LoadPixArtConditioning(
    StateDict& weights, const TransformerConfig& config, LinearBuilder& builder);

}  // namespace ilf
