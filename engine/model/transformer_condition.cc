#include "engine/model/transformer_condition.h"

#include <utility>

#include <ATen/ops/tensor.h>

namespace ilf {

BlockModulation TransformerCondition::Block(int64_t block) const {
  if (parts_.modulations.size() > 1) return SplitModulation(parts_.modulations[block]);
  const int64_t width = parts_.modulations[0].size(-1) / parts_.num_layers;
  return SplitModulation(parts_.modulations[0].narrow(-1, block * width, width));
}

std::vector<at::Tensor> TransformerCondition::Final() const {
  return parts_.final_modulation.to(at::kFloat).unsqueeze(1).chunk(2, -1);
}

TransformerCondition TransformerCondition::Rows(const std::vector<int64_t>& index) const {
  const at::Tensor rows = at::tensor(index).to(parts_.embedding.device());
  Parts selected;
  selected.embedding = parts_.embedding.index_select(0, rows);
  for (const at::Tensor& modulation : parts_.modulations) {
    selected.modulations.push_back(modulation.index_select(0, rows));
  }
  selected.final_modulation = parts_.final_modulation.index_select(0, rows);
  selected.prompts = parts_.prompts.Select(index);
  selected.layout = parts_.layout.Select(index);
  selected.num_layers = parts_.num_layers;
  return TransformerCondition(std::move(selected));
}

}  // namespace ilf
