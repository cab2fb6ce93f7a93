#include "engine/base/clock.h"

#include "gtest/gtest.h"
#include "tests/testing/fake_clock.h"

namespace ilf {
namespace {

TEST(SystemClockTest, IsOneClockThatDoesNotStandAtTheEpoch) {
  EXPECT_EQ(SystemClock(), SystemClock());
  EXPECT_GT(SystemClock()->Now(), absl::FromUnixSeconds(1'500'000'000));
}

TEST(FakeClockTest, MovesOnlyWhenAdvanced) {
  FakeClock clock;
  const absl::Time start = clock.Now();
  EXPECT_EQ(clock.Now(), start);
  clock.Advance(absl::Milliseconds(7));
  EXPECT_EQ(clock.Now() - start, absl::Milliseconds(7));
}

}  // namespace
}  // namespace ilf
