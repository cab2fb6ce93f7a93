// How the tokens of a batch's rows lie in one tensor, where the rows may differ in size.
//
// Rows are packed: the tokens of all of them one after another, without padding. What treats every
// token alike (linear layers, layer norm) runs over all at once; what needs to know the rows
// (attention, modulation by row) runs by group of neighbouring rows of one size (ByGroup).
#pragma once

#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

#include "absl/functional/function_ref.h"

namespace ilf {

// Tokens of a latent.
struct TokenGrid {
  int64_t height = 0;
  int64_t width = 0;

  int64_t tokens() const { return height * width; }
  bool operator==(const TokenGrid&) const = default;
};

// A value, made by appending rows.
class TokenLayout {
 public:
  // Neighbouring rows of one size.
  struct Group {
    TokenGrid grid;
    int64_t rows = 0;
    int64_t first_row = 0;
    int64_t first_token = 0;

    int64_t tokens() const { return rows * grid.tokens(); }
  };

  TokenLayout() = default;
  // Adds `rows` rows at the end.
  void Append(const TokenGrid& grid, int64_t rows);

  const std::vector<Group>& groups() const { return groups_; }
  int64_t rows() const;
  int64_t tokens() const;

  // The rows `index`, in that order.
  TokenLayout Select(const std::vector<int64_t>& index) const;
  // Where their tokens are.
  std::vector<int64_t> TokensOf(const std::vector<int64_t>& index) const;

 private:
  const Group& GroupOf(int64_t row) const;

  std::vector<Group> groups_;
};

// The part of x [tokens, channels] that belongs to `group`, as [rows, tokens of a row, channels]. A
// view.
at::Tensor PartOf(const at::Tensor& x, const TokenLayout::Group& group);

// The part of `by_row` [rows, ...] that belongs to `group`. A view.
at::Tensor RowsOf(const at::Tensor& by_row, const TokenLayout::Group& group);

// What `layer` makes of each group, [rows, tokens of a row, channels], packed: [tokens, channels].
at::Tensor ByGroup(const TokenLayout& layout,
                   absl::FunctionRef<at::Tensor(const TokenLayout::Group&)> layer);

}  // namespace ilf
