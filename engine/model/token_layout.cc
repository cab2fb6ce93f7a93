#include "engine/model/token_layout.h"

#include <ATen/ops/cat.h>

#include "engine/base/check.h"

namespace ilf {

void TokenLayout::Append(const TokenGrid& grid, int64_t rows) {
  if (groups_.empty() || !(groups_.back().grid == grid)) {
    groups_.push_back({grid, 0, this->rows(), tokens()});
  }
  groups_.back().rows += rows;
}

int64_t TokenLayout::rows() const {
  return groups_.empty() ? 0 : groups_.back().first_row + groups_.back().rows;
}

int64_t TokenLayout::tokens() const {
  return groups_.empty() ? 0 : groups_.back().first_token + groups_.back().tokens();
}

TokenLayout TokenLayout::Select(const std::vector<int64_t>& index) const {
  TokenLayout selected;
  for (const int64_t row : index) selected.Append(GroupOf(row).grid, 1);
  return selected;
}

std::vector<int64_t> TokenLayout::TokensOf(const std::vector<int64_t>& index) const {
  std::vector<int64_t> tokens;
  for (const int64_t row : index) {
    const Group& group = GroupOf(row);
    const int64_t count = group.grid.tokens();
    const int64_t first = group.first_token + (row - group.first_row) * count;
    for (int64_t token = first; token < first + count; ++token) tokens.push_back(token);
  }
  return tokens;
}

const TokenLayout::Group& TokenLayout::GroupOf(int64_t row) const {
  for (const Group& group : groups_) {
    if (row >= group.first_row && row < group.first_row + group.rows) return group;
  }
  Check(false, "the layout has the row");
  return groups_.front();
}

at::Tensor PartOf(const at::Tensor& x, const TokenLayout::Group& group) {
  const at::Tensor part =
      x.size(0) == group.tokens() ? x : x.narrow(0, group.first_token, group.tokens());
  return part.unflatten(0, {group.rows, group.grid.tokens()});
}

at::Tensor RowsOf(const at::Tensor& by_row, const TokenLayout::Group& group) {
  if (by_row.size(0) == group.rows) return by_row;
  return by_row.narrow(0, group.first_row, group.rows);
}

at::Tensor ByGroup(const TokenLayout& layout,
                   absl::FunctionRef<at::Tensor(const TokenLayout::Group&)> layer) {
  std::vector<at::Tensor> parts;
  for (const TokenLayout::Group& group : layout.groups()) {
    parts.push_back(layer(group).flatten(0, 1));
  }
  return parts.size() == 1 ? parts[0] : at::cat(parts);
}

}  // namespace ilf
