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
  EXPECT_THAT(SplitRows(480, {32, 64, 128, 256}), ElementsAre(256, 128, 64, 32));
}

TEST(SplitRowsTest, EndsWithAPartlyFilledSmallestCall) {
  EXPECT_THAT(SplitRows(70, {32, 64}), ElementsAre(64, 32));
  EXPECT_THAT(SplitRows(1, {16}), ElementsAre(16));
}

TEST(SplitRowsTest, CoversEveryRowCountWithLessThanOneSmallestCallToSpare) {
  const std::vector<int64_t> sizes = {16, 64, 512};
  for (int64_t rows = 1; rows < 2000; ++rows) {
    const std::vector<int64_t> calls = SplitRows(rows, sizes);
    const int64_t covered = std::accumulate(calls.begin(), calls.end(), int64_t{0});
    EXPECT_GE(covered, rows);
    EXPECT_LT(covered - rows, sizes.front());
  }
}

TEST(ProbeRowTilesTest, KeepsEverySizeOfAFunctionThatTreatsRowsAlike) {
  const at::Tensor rows = at::arange(64, at::kFloat).view({64, 1});
  EXPECT_THAT(ProbeRowTiles(16, {16, 32, 64}, rows, [](const at::Tensor& x) { return x * 3; }),
              ElementsAre(16, 32, 64));
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
