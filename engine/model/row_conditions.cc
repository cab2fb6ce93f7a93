#include "engine/model/row_conditions.h"

#include <numeric>

#include <ATen/ops/tensor.h>

namespace ilf {
namespace {

int64_t RowsOf(const PromptRows& prompts) {
  int64_t rows = 0;
  for (const PromptRows::Segment& segment : prompts.segments()) rows += segment.rows;
  return rows;
}

}  // namespace

RowConditions RowConditions::WithRepeated(const std::vector<int64_t>& index) const {
  const int64_t rows = classes.defined() ? classes.size(0) : RowsOf(prompts);
  std::vector<int64_t> order(rows);
  std::iota(order.begin(), order.end(), 0);
  order.insert(order.end(), index.begin(), index.end());
  const auto select = [&](const at::Tensor& tensor) {
    return tensor.defined() ? tensor.index_select(0, at::tensor(order).to(tensor.device()))
                            : at::Tensor();
  };
  RowConditions repeated;
  repeated.classes = select(classes);
  repeated.prompts = prompts.Select(order);
  repeated.picture_sizes = select(picture_sizes);
  return repeated;
}

}  // namespace ilf
