#include "engine/model/token_layout.h"

#include <vector>

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ilf {
namespace {

using ::testing::ElementsAre;
using ::testing::SizeIs;

// Rows 0 and 1 have 2 tokens each, row 2 has 6, row 3 has 2.
TokenLayout Mixed() {
  TokenLayout layout;
  layout.Append({1, 2}, 1);
  layout.Append({1, 2}, 1);
  layout.Append({2, 3}, 1);
  layout.Append({1, 2}, 1);
  return layout;
}

TEST(TokenLayoutTest, NeighboursOfOneSizeAreOneGroup) {
  const TokenLayout layout = Mixed();
  ASSERT_THAT(layout.groups(), SizeIs(3));
  EXPECT_EQ(layout.groups()[0].rows, 2);
  EXPECT_EQ(layout.groups()[1].first_row, 2);
  EXPECT_EQ(layout.groups()[1].first_token, 4);
  EXPECT_EQ(layout.groups()[2].first_token, 10);
  EXPECT_EQ(layout.rows(), 4);
  EXPECT_EQ(layout.tokens(), 12);
}

TEST(TokenLayoutTest, SizesOfEquallyManyTokensAreGroupsOfTheirOwn) {
  TokenLayout layout;
  layout.Append({2, 3}, 1);
  layout.Append({3, 2}, 1);
  EXPECT_THAT(layout.groups(), SizeIs(2));
}

TEST(TokenLayoutTest, SelectedRowsKeepTheirSizes) {
  const TokenLayout selected = Mixed().Select({3, 0, 2, 2});
  ASSERT_THAT(selected.groups(), SizeIs(2));
  EXPECT_EQ(selected.groups()[0].rows, 2);
  EXPECT_EQ(selected.groups()[1].rows, 2);
  EXPECT_EQ(selected.groups()[1].grid, (TokenGrid{2, 3}));
  EXPECT_EQ(selected.tokens(), 2 + 2 + 6 + 6);
}

TEST(TokenLayoutTest, TokensOfRowsAreWhereTheRowsArePacked) {
  EXPECT_THAT(Mixed().TokensOf({3, 1}), ElementsAre(10, 11, 2, 3));
  EXPECT_THAT(Mixed().TokensOf({2}), ElementsAre(4, 5, 6, 7, 8, 9));
}

TEST(TokenLayoutTest, GroupsPutTogetherAgainAreTheWhole) {
  const at::Tensor x = at::arange(12 * 5).view({12, 5});
  const at::Tensor again =
      ByGroup(Mixed(), [&](const TokenLayout::Group& group) { return PartOf(x, group); });
  EXPECT_TRUE(at::equal(again, x));
}

TEST(TokenLayoutTest, EveryRowMeetsItsOwnValues) {
  const TokenLayout layout = Mixed();
  const at::Tensor by_row = at::arange(4).view({4, 1, 1}) * 100;
  const at::Tensor x = at::arange(12).view({12, 1});
  const at::Tensor sums = ByGroup(layout, [&](const TokenLayout::Group& group) {
    return PartOf(x, group) + RowsOf(by_row, group);
  });
  const std::vector<int64_t> rows = {0, 0, 1, 1, 2, 2, 2, 2, 2, 2, 3, 3};
  for (int64_t token = 0; token < 12; ++token) {
    EXPECT_EQ(sums[token].item<int64_t>(), 100 * rows[token] + token);
  }
}

}  // namespace
}  // namespace ilf
