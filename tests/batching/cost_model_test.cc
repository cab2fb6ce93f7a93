#include "engine/batching/cost_model.h"

#include <string>

#include "gtest/gtest.h"
#include "tests/testing/test_request.h"

namespace ilf {
namespace {

const absl::Time kNow = absl::FromUnixSeconds(1000);

TEST(CostModelTest, KnowsNothingAtFirst) {
  const CostModel costs({});
  EXPECT_EQ(costs.StepTime("m", 2, kNow), absl::ZeroDuration());
  EXPECT_EQ(costs.RunTime(kNow), absl::ZeroDuration());
  EXPECT_EQ(costs.LeastRunTime("m", TestRequest("a"), kNow), absl::ZeroDuration());
}

TEST(CostModelTest, TheFirstMeasurementCountsUntilThereIsASecond) {
  CostModel costs({});
  costs.AddStep("m", 2, absl::Seconds(9), kNow);
  EXPECT_EQ(costs.StepTime("m", 2, kNow), absl::Seconds(9));
  costs.AddStep("m", 2, absl::Seconds(1), kNow);
  EXPECT_EQ(costs.StepTime("m", 2, kNow), absl::Seconds(1));
}

TEST(CostModelTest, ANewMeasurementMovesTheAverageByItsWeight) {
  CostModel costs({.newest_weight = 0.25});
  costs.AddStep("m", 2, absl::Seconds(1), kNow);
  costs.AddStep("m", 2, absl::Seconds(1), kNow);
  costs.AddStep("m", 2, absl::Seconds(5), kNow);
  EXPECT_EQ(costs.StepTime("m", 2, kNow), absl::Seconds(2));
}

TEST(CostModelTest, KeysAreApart) {
  CostModel costs({});
  costs.AddStep("m", 2, absl::Seconds(1), kNow);
  EXPECT_EQ(costs.StepTime("other", 2, kNow), absl::ZeroDuration());
}

TEST(CostModelTest, RowCountsShareAnAverageUpToAPowerOfTwo) {
  CostModel costs({});
  costs.AddStep("m", 4, absl::Seconds(2), kNow);
  costs.AddStep("m", 8, absl::Seconds(3), kNow);
  EXPECT_EQ(costs.StepTime("m", 3, kNow), absl::Seconds(2));
  EXPECT_EQ(costs.StepTime("m", 5, kNow), absl::Seconds(3));
}

TEST(CostModelTest, ForUnmeasuredRowsTheGuessIsLow) {
  CostModel costs({});
  costs.AddStep("m", 8, absl::Seconds(8), kNow);
  EXPECT_EQ(costs.StepTime("m", 16, kNow), absl::Seconds(8));
  EXPECT_EQ(costs.StepTime("m", 2, kNow), absl::Seconds(2));
  EXPECT_EQ(costs.StepTime("m", 1 << 20, kNow), absl::Seconds(8));
}

TEST(CostModelTest, AStaleAverageNoLongerCountsAndStartsAnew) {
  CostModel costs({.stale_after = absl::Seconds(30)});
  costs.AddStep("m", 2, absl::Seconds(9), kNow);
  costs.AddStep("m", 2, absl::Seconds(9), kNow);
  EXPECT_EQ(costs.StepTime("m", 2, kNow + absl::Seconds(30)), absl::Seconds(9));
  const absl::Time later = kNow + absl::Seconds(31);
  EXPECT_EQ(costs.StepTime("m", 2, later), absl::ZeroDuration());
  costs.AddStep("m", 2, absl::Seconds(1), later);
  EXPECT_EQ(costs.StepTime("m", 2, later), absl::Seconds(1));
}

TEST(CostModelTest, LeastRunTimeIsAllStepsAloneAndTheDecode) {
  CostModel costs({});
  GenerationRequest request = TestRequest("a", /*steps=*/10);
  request.guidance_scale = 4.0;
  costs.AddStep("m", 2, absl::Seconds(1), kNow);
  costs.AddStep("m", 32, absl::Seconds(7), kNow);
  costs.AddDecode("m", absl::Seconds(3), kNow);
  EXPECT_EQ(costs.LeastRunTime("m", request, kNow), absl::Seconds(13));
}

TEST(CostModelTest, RunTimeIsTheAverageOverAllKeys) {
  CostModel costs({.newest_weight = 0.5});
  for (int seconds : {4, 4, 8}) costs.AddRun(absl::Seconds(seconds), kNow);
  EXPECT_EQ(costs.RunTime(kNow), absl::Seconds(6));
}

TEST(CostKeyTest, TellsModelsSizesAndAccelerationApart) {
  const std::string key = CostKey("model", 64, Acceleration::kOff);
  EXPECT_EQ(CostKey("model", 64, Acceleration::kOff), key);
  EXPECT_NE(CostKey("other", 64, Acceleration::kOff), key);
  EXPECT_NE(CostKey("model", 128, Acceleration::kOff), key);
  EXPECT_NE(CostKey("model", 64, Acceleration::kFeedback), key);
}

TEST(RowsPerStepTest, GuidanceTakesASecondRow) {
  GenerationRequest request = TestRequest("a");
  EXPECT_EQ(RowsPerStep(request), 1);
  request.guidance_scale = 1.5;
  EXPECT_EQ(RowsPerStep(request), 2);
}

}  // namespace
}  // namespace ilf
