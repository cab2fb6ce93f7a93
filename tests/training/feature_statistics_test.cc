#include "engine/training/feature_statistics.h"

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

at::Tensor Random(int64_t count, int64_t width) {
  return at::randn({count, width}, at::kDouble).matmul(at::randn({width, width}, at::kDouble)) +
         at::randn({width}, at::kDouble);
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

TEST(TransportTest, BringsFeaturesToTheOthersMeanAndCovariance) {
  const at::Tensor features = Random(60, 5);
  const FeatureStatistics from = StatisticsOf(features), to = StatisticsOf(Random(40, 5));
  const FeatureStatistics moved = StatisticsOf(Transport(features, from, to));
  EXPECT_TRUE(at::allclose(moved.mean, to.mean, 1e-8, 1e-8));
  EXPECT_TRUE(at::allclose(moved.covariance, to.covariance, 1e-6, 1e-6));
}

TEST(TransportTest, MovesFeaturesByTheFrechetDistanceAndNoFurther) {
  const at::Tensor features = Random(60, 5);
  const FeatureStatistics from = StatisticsOf(features), to = StatisticsOf(Random(40, 5));
  const at::Tensor moves = Transport(features, from, to) - features;
  const double mean = moves.mean(0).square().sum().item<double>();
  const double scatter = (moves - moves.mean(0)).square().sum().item<double>() / 59;
  EXPECT_NEAR(mean + scatter, FrechetDistance(from, to), 1e-6);
}

TEST(TransportTest, LeavesADirectionAloneInWhichNothingVaries) {
  const at::Tensor features = Random(60, 3);
  features.select(1, 2).fill_(7.0);
  const at::Tensor others = Random(40, 3);
  const at::Tensor moved = Transport(features, StatisticsOf(features), StatisticsOf(others));
  EXPECT_TRUE(
      at::allclose(moved.select(1, 2), others.select(1, 2).mean().expand({60}), 1e-8, 1e-8));
}

TEST(MovingStatisticsTest, AreTheReferencesUntilPicturesCome) {
  const FeatureStatistics references = StatisticsOf(Random(60, 4));
  MovingStatistics moving(references, 10);
  moving.Add(at::zeros({0, 4}), at::zeros({0, 4}));
  EXPECT_TRUE(at::equal(moving.Now().mean, references.mean));
  EXPECT_TRUE(at::equal(moving.Now().covariance, references.covariance));
}

// Where they all come at once, in place of their references.
TEST(MovingStatisticsTest, AreThoseOfThePictures) {
  const at::Tensor references = Random(60, 4);
  const at::Tensor features = Random(60, 4);
  MovingStatistics moving(StatisticsOf(references), 60);
  moving.Add(features, references);
  const FeatureStatistics now = moving.Now(), own = StatisticsOf(features);
  EXPECT_TRUE(at::allclose(now.mean, own.mean, 1e-4, 1e-4));
  // Means over 60 in place of 59.
  const at::Tensor rest = (own.covariance - StatisticsOf(references).covariance) / 60;
  EXPECT_TRUE(at::allclose(now.covariance, own.covariance - rest, 1e-4, 1e-4));
}

// That is what makes few of them enough.
TEST(MovingStatisticsTest, APictureLikeItsReferenceTellsOfNoShift) {
  const at::Tensor references = Random(60, 4);
  const FeatureStatistics statistics = StatisticsOf(references);
  MovingStatistics moving(statistics, 10);
  moving.Add(references.slice(0, 0, 5), references.slice(0, 0, 5));
  EXPECT_TRUE(at::equal(moving.Now().mean, statistics.mean));
  EXPECT_TRUE(at::equal(moving.Now().covariance, statistics.covariance));
}

TEST(MovingStatisticsTest, ForgetByTheirWindow) {
  const at::Tensor references = Random(60, 4);
  const FeatureStatistics statistics = StatisticsOf(references);
  MovingStatistics moving(statistics, 10);
  const at::Tensor five = references.slice(0, 0, 5);
  moving.Add(five + 1.0, five);
  EXPECT_TRUE(at::allclose(moving.Now().mean - statistics.mean, at::full({4}, 0.5, at::kDouble)));
  moving.Add(five, five);
  EXPECT_TRUE(at::allclose(moving.Now().mean - statistics.mean, at::full({4}, 0.25, at::kDouble)));
}

}  // namespace
}  // namespace ilf
