// The conditions of a batch's rows as the blocks of a transformer need them.
#pragma once

#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

#include "engine/model/prompt_context.h"
#include "engine/model/token_layout.h"
#include "engine/model/transformer_block.h"

namespace ilf {

// Cheap to copy; its tensors are shared.
class TransformerCondition {
 public:
  struct Parts {
    at::Tensor embedding;                 // see embedding()
    std::vector<at::Tensor> modulations;  // one tensor of all blocks, [rows, layers * 6 * dim], or
                                          // one a block, [rows, 6 * dim]
    at::Tensor final_modulation;          // [rows, 2 * dim]: shift and scale of the final layer
    PromptRows prompts;
    TokenLayout layout;  // of the residual stream's tokens
    int64_t num_layers = 0;
  };

  explicit TransformerCondition(Parts parts) : parts_(std::move(parts)) {}

  // What a block that is not the backbone's makes its modulation of, float32. DiT: SiLU(embedding)
  // of block 0, [rows, dim]. PixArt: the output of adaLN-single, [rows, 6 * dim].
  const at::Tensor& embedding() const { return parts_.embedding; }
  BlockModulation Block(int64_t block) const;
  // Shift and scale of the final layer, [rows, 1, dim] each.
  std::vector<at::Tensor> Final() const;
  const PromptRows& prompts() const { return parts_.prompts; }
  const TokenLayout& layout() const { return parts_.layout; }

  // The condition of the rows `index`, in that order.
  TransformerCondition Rows(const std::vector<int64_t>& index) const;

 private:
  Parts parts_;
};

}  // namespace ilf
