#include "engine/batching/service_order.h"

#include "gtest/gtest.h"

namespace ilf {
namespace {

constexpr absl::Duration kMaxWait = absl::Seconds(10);
const absl::Time kNow = absl::FromUnixSeconds(1000);

ServiceRank Rank(Priority priority, absl::Duration waited, absl::Duration to_deadline,
                 uint64_t arrival) {
  return RankAt({priority, kNow + to_deadline, kNow - waited, arrival}, kMaxWait, kNow);
}

TEST(ServiceOrderTest, PriorityGoesBeforeDeadline) {
  EXPECT_LT(Rank(Priority::kHigh, absl::ZeroDuration(), absl::Hours(1), 2),
            Rank(Priority::kNormal, absl::Seconds(9), absl::Seconds(1), 1));
  EXPECT_LT(Rank(Priority::kNormal, absl::ZeroDuration(), absl::Hours(1), 2),
            Rank(Priority::kLow, absl::Seconds(9), absl::Seconds(1), 1));
}

TEST(ServiceOrderTest, DeadlineGoesBeforeArrival) {
  EXPECT_LT(Rank(Priority::kLow, absl::Seconds(1), absl::Seconds(5), 2),
            Rank(Priority::kLow, absl::Seconds(2), absl::Seconds(6), 1));
}

TEST(ServiceOrderTest, ArrivalBreaksTies) {
  EXPECT_LT(Rank(Priority::kLow, absl::Seconds(1), absl::InfiniteDuration(), 1),
            Rank(Priority::kLow, absl::Seconds(1), absl::InfiniteDuration(), 2));
}

TEST(ServiceOrderTest, AfterMaxWaitTheLowestGoesBeforeTheHighest) {
  EXPECT_GT(Rank(Priority::kLow, kMaxWait - absl::Nanoseconds(1), absl::Hours(1), 1),
            Rank(Priority::kHigh, absl::ZeroDuration(), absl::Seconds(1), 2));
  EXPECT_LT(Rank(Priority::kLow, kMaxWait, absl::Hours(1), 1),
            Rank(Priority::kHigh, absl::ZeroDuration(), absl::Seconds(1), 2));
}

TEST(ServiceOrderTest, AmongThoseWhoWaitedTheLongestWaitGoesFirst) {
  EXPECT_LT(Rank(Priority::kLow, absl::Seconds(12), absl::Hours(1), 2),
            Rank(Priority::kHigh, absl::Seconds(11), absl::Seconds(1), 1));
}

}  // namespace
}  // namespace ilf
