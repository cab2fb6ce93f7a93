#include "engine/model/row_tiles.h"

#include <numeric>

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ilf {
namespace {

using ::testing::ElementsAre;

TEST(SplitRowsTest, TakesTheLargestSizesThatFitFirst) {
  EXPECT_THAT(SplitRows(480, {32, 64, 128, 256}, 0), ElementsAre(256, 128, 64, 32));
  EXPECT_THAT(SplitRows(600, {32, 64, 128, 256}, 0), ElementsAre(256, 256, 64, 32));
}

TEST(SplitRowsTest, EndsWithAPartlyFilledSmallestCall) {
  EXPECT_THAT(SplitRows(70, {32, 64}, 0), ElementsAre(64, 32));
  EXPECT_THAT(SplitRows(1, {16}, 0), ElementsAre(16));
}

TEST(SplitRowsTest, TakesOneCallWithRowsToSpareWhereSeveralCostMore) {
  EXPECT_THAT(SplitRows(112, {32, 64, 128}, 16), ElementsAre(128));
  EXPECT_THAT(SplitRows(80, {32, 64, 128}, 16), ElementsAre(64, 32));
  EXPECT_THAT(SplitRows(80, {32, 64, 128}, 40), ElementsAre(128));
  EXPECT_THAT(SplitRows(368, {32, 64, 128, 256}, 16), ElementsAre(256, 128));
}

TEST(SplitRowsTest, CoversEveryRowCountAtLeastAsCheaplyAsTheCallsThatFit) {
  const std::vector<int64_t> sizes = {16, 64, 512};
  for (const double call_cost : {0.0, 5.0, 100.0}) {
    for (int64_t rows = 1; rows < 2000; ++rows) {
      const auto cost = [&](const std::vector<int64_t>& calls) {
        return std::accumulate(calls.begin(), calls.end(), call_cost * calls.size());
      };
      const std::vector<int64_t> calls = SplitRows(rows, sizes, call_cost);
      const int64_t covered = std::accumulate(calls.begin(), calls.end(), int64_t{0});
      EXPECT_GE(covered, rows);
      EXPECT_LE(cost(calls), cost(SplitRows(rows, sizes, 0)));
      if (call_cost == 0.0) {
        EXPECT_LT(covered - rows, sizes.front());
      }
    }
  }
}

TEST(ProbeRowTilesTest, KeepsEverySizeOfAFunctionThatTreatsRowsAlike) {
  const at::Tensor rows = at::arange(64, at::kFloat).view({64, 1});
  EXPECT_THAT(ProbeRowTiles(16, {16, 32, 64}, rows, [](const at::Tensor& x) { return x * 3; }),
              ElementsAre(16, 32, 64));
}

TEST(ProbeRowTilesTest, TriesSizesThatDoNotDivideTheProbeAndNoneAboveIt) {
  const at::Tensor rows = at::arange(64, at::kFloat).view({64, 1});
  EXPECT_THAT(ProbeRowTiles(16, {48, 80}, rows, [](const at::Tensor& x) { return x * 3; }),
              ElementsAre(16, 48));
  const auto depends_on_call_size = [](const at::Tensor& x) {
    return x.size(0) == 48 ? x * 3 + 1e-3 : x * 3;
  };
  EXPECT_THAT(ProbeRowTiles(16, {32, 48}, rows, depends_on_call_size), ElementsAre(16, 32));
}

TEST(ProbeRowTilesTest, DropsASizeWhoseRowsComeOutDifferent) {
  const at::Tensor rows = at::arange(64, at::kFloat).view({64, 1});
  const auto depends_on_call_size = [](const at::Tensor& x) {
    return x.size(0) == 32 ? x * 3 + 1e-3 : x * 3;
  };
  EXPECT_THAT(ProbeRowTiles(16, {32, 64}, rows, depends_on_call_size), ElementsAre(16, 64));
}

TEST(ProbeRowTilesTest, DropsASizeWhoseRowsDependOnTheirPosition) {
  const at::Tensor rows = at::arange(64, at::kFloat).view({64, 1});
  const auto last_row_differs = [](const at::Tensor& x) {
    at::Tensor y = x * 3;
    if (x.size(0) == 32) y.narrow(0, 31, 1).add_((x[31] == 4.0f).to(at::kFloat));
    return y;
  };
  EXPECT_THAT(ProbeRowTiles(16, {32}, rows, last_row_differs), ElementsAre(16));
}

}  // namespace
}  // namespace ilf
