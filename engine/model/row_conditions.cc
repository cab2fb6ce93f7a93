#include "engine/model/row_conditions.h"

#include <ATen/ops/tensor.h>

namespace ilf {

RowConditions RowConditions::Select(const std::vector<int64_t>& index) const {
  const auto select = [&](const at::Tensor& tensor) {
    return tensor.defined() ? tensor.index_select(0, at::tensor(index).to(tensor.device()))
                            : at::Tensor();
  };
  RowConditions selected;
  selected.classes = select(classes);
  selected.prompts = prompts.Select(index);
  selected.picture_sizes = select(picture_sizes);
  return selected;
}

}  // namespace ilf
