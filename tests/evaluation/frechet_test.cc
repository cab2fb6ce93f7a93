#include "engine/evaluation/frechet.h"

#include <torch/types.h>

#include <gtest/gtest.h>

namespace ilf {
namespace {

// Points at +-a on the first axis and +-b on the second around (x, y): covariance diag(2 a^2, 2
// b^2) / 3.
at::Tensor Cross(double x, double y, double a, double b) {
  const std::vector<double> values = {x + a, y, x - a, y, x, y + b, x, y - b};
  return at::tensor(values, at::kDouble).view({4, 2});
}

TEST(FrechetTest, IsThatOfTheGaussians) {
  const FeatureStatistics first = StatisticsOf(Cross(0, 0, 1, 2));
  const FeatureStatistics second = StatisticsOf(Cross(3, 4, 2, 2));
  // |(3, 4)|^2 + 2/3 ((1 - 2)^2 + (2 - 2)^2)
  EXPECT_NEAR(FrechetDistance(first, second), 25 + 2.0 / 3, 1e-9);
  EXPECT_NEAR(FrechetDistance(second, first), 25 + 2.0 / 3, 1e-9);
}

TEST(FrechetTest, IsZeroToItself) {
  const at::Tensor features = at::randn({50, 6}, at::kDouble);
  EXPECT_NEAR(FrechetDistance(StatisticsOf(features), StatisticsOf(features)), 0.0, 1e-6);
}

TEST(FrechetTest, DoesNotChangeWhenBothAreRotated) {
  const at::Tensor a = at::randn({40, 5}, at::kDouble);
  const at::Tensor b = at::randn({40, 5}, at::kDouble) * 2 + 1;
  const at::Tensor rotation = std::get<0>(at::linalg_qr(at::randn({5, 5}, at::kDouble)));
  EXPECT_NEAR(FrechetDistance(StatisticsOf(a), StatisticsOf(b)),
              FrechetDistance(StatisticsOf(a.matmul(rotation)), StatisticsOf(b.matmul(rotation))),
              1e-8);
}

}  // namespace
}  // namespace ilf
