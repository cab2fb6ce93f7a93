#include "engine/batching/admission_queue.h"

#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/fake_clock.h"

namespace ilf {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

class AdmissionQueueTest : public ::testing::Test {
 protected:
  absl::StatusOr<QueuePosition> Add(const WaitingRequest& request, const PoolLoad& load = {}) {
    return queue_.Add(request, load, clock_.Now());
  }

  absl::StatusCode CodeOfAdd(const WaitingRequest& request, const PoolLoad& load = {}) {
    return Add(request, load).status().code();
  }

  // Handles of all images in the order in which they are served now.
  std::vector<RequestHandle> TakeAll() {
    std::vector<RequestHandle> order;
    while (auto image = queue_.Take(clock_.Now())) order.push_back(image->handle);
    return order;
  }

  absl::Time In(absl::Duration duration) { return clock_.Now() + duration; }

  FakeClock clock_;
  AdmissionQueue queue_{{.max_images = 8, .max_wait = absl::Seconds(30)}};
};

TEST_F(AdmissionQueueTest, ServesByPriorityThenDeadlineThenArrival) {
  ASSERT_TRUE(Add({.handle = 1, .priority = Priority::kLow}).ok());
  ASSERT_TRUE(Add({.handle = 2}).ok());
  ASSERT_TRUE(Add({.handle = 3, .deadline = In(absl::Seconds(20))}).ok());
  ASSERT_TRUE(Add({.handle = 4, .deadline = In(absl::Seconds(10))}).ok());
  ASSERT_TRUE(Add({.handle = 5, .priority = Priority::kHigh}).ok());
  ASSERT_TRUE(Add({.handle = 6}).ok());
  EXPECT_THAT(TakeAll(), ElementsAre(5, 4, 3, 2, 6, 1));
}

TEST_F(AdmissionQueueTest, WhatHasWaitedForMaxWaitGoesFirst) {
  ASSERT_TRUE(Add({.handle = 1, .priority = Priority::kLow}).ok());
  clock_.Advance(absl::Seconds(29));
  ASSERT_TRUE(Add({.handle = 2, .images = 2, .priority = Priority::kHigh}).ok());
  EXPECT_EQ(queue_.Take(clock_.Now())->handle, 2u);
  clock_.Advance(absl::Seconds(1));
  EXPECT_THAT(TakeAll(), ElementsAre(1, 2));
}

TEST_F(AdmissionQueueTest, ALowRequestIsServedThoughHighOnesKeepComing) {
  ASSERT_TRUE(Add({.handle = 1, .priority = Priority::kLow}).ok());
  ASSERT_TRUE(Add({.handle = 2, .priority = Priority::kHigh}).ok());
  for (RequestHandle handle = 3; handle < 100; ++handle) {
    ASSERT_TRUE(Add({.handle = handle, .priority = Priority::kHigh}).ok());
    clock_.Advance(absl::Seconds(1));
    if (queue_.Take(clock_.Now())->handle == 1) {
      EXPECT_EQ(handle, 3u + 29u);
      return;
    }
  }
  FAIL() << "the low request was never served";
}

TEST_F(AdmissionQueueTest, ARequestTakesAsManySlotsAsImages) {
  ASSERT_TRUE(Add({.handle = 1, .images = 6}).ok());
  EXPECT_EQ(queue_.images(), 6);
  EXPECT_EQ(CodeOfAdd({.handle = 2, .images = 3}), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(queue_.images(), 6);
  EXPECT_TRUE(Add({.handle = 3, .images = 2}).ok());
  EXPECT_EQ(CodeOfAdd({.handle = 4}), absl::StatusCode::kResourceExhausted);
}

TEST_F(AdmissionQueueTest, ATakenImageMakesRoom) {
  ASSERT_TRUE(Add({.handle = 1, .images = 8}).ok());
  ASSERT_TRUE(queue_.Take(clock_.Now()).has_value());
  EXPECT_TRUE(Add({.handle = 2}).ok());
  EXPECT_FALSE(Add({.handle = 3}).ok());
}

TEST_F(AdmissionQueueTest, WhatNeverFitsIsNotAskedToComeBack) {
  const absl::Status status = Add({.handle = 1, .images = 9}).status();
  EXPECT_EQ(status, absl::InvalidArgumentError(
                        "image_count is 9, the queue of this server holds 8 images"));
}

TEST_F(AdmissionQueueTest, ImagesOfARequestComeInOrderWithTheirWait) {
  ASSERT_TRUE(Add({.handle = 1, .images = 2}).ok());
  clock_.Advance(absl::Seconds(3));
  std::vector<std::pair<int, absl::Duration>> taken;
  while (auto image = queue_.Take(clock_.Now())) {
    taken.emplace_back(image->image_index, image->waited);
  }
  EXPECT_THAT(taken, ElementsAre(Pair(0, absl::Seconds(3)), Pair(1, absl::Seconds(3))));
  EXPECT_EQ(queue_.images(), 0);
}

TEST_F(AdmissionQueueTest, TellsHowManyImagesAreAhead) {
  ASSERT_TRUE(Add({.handle = 1, .images = 2}).ok());
  ASSERT_TRUE(Add({.handle = 2, .images = 3, .priority = Priority::kLow}).ok());
  EXPECT_EQ(Add({.handle = 3})->images_ahead, 2);
  EXPECT_EQ(Add({.handle = 4, .priority = Priority::kHigh})->images_ahead, 0);
}

TEST_F(AdmissionQueueTest, EstimatesNoWaitWhileSlotsAreFree) {
  ASSERT_TRUE(Add({.handle = 1}).ok());
  const PoolLoad load{.slots = 4, .free_slots = 2, .run_time = absl::Seconds(8)};
  EXPECT_EQ(Add({.handle = 2}, load)->estimated_wait, absl::ZeroDuration());
}

TEST_F(AdmissionQueueTest, EstimatesAWaitByTheImagesThatMustEndBefore) {
  ASSERT_TRUE(Add({.handle = 1, .images = 5}).ok());
  // 4 slots that take 8 s an image: one is free every 2 s, and 5 - 2 + 1 of them are needed.
  const PoolLoad load{.slots = 4, .free_slots = 2, .run_time = absl::Seconds(8)};
  EXPECT_EQ(Add({.handle = 2}, load)->estimated_wait, absl::Seconds(8));
}

TEST_F(AdmissionQueueTest, RefusesWhatCannotMeetItsDeadline) {
  const WaitingRequest request{
      .handle = 1, .deadline = In(absl::Seconds(10)), .least_run_time = absl::Seconds(11)};
  EXPECT_EQ(CodeOfAdd(request), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(queue_.images(), 0);
}

TEST_F(AdmissionQueueTest, RefusesAPassedDeadlineThoughNothingIsMeasured) {
  EXPECT_EQ(CodeOfAdd({.handle = 1, .deadline = clock_.Now()}),
            absl::StatusCode::kDeadlineExceeded);
}

TEST_F(AdmissionQueueTest, CountsTheWaitOfTheLastImageAgainstTheDeadline) {
  const PoolLoad load{.slots = 1, .free_slots = 1, .run_time = absl::Seconds(4)};
  WaitingRequest request{.handle = 1,
                         .images = 3,
                         .deadline = In(absl::Seconds(11)),
                         .least_run_time = absl::Seconds(4)};
  EXPECT_EQ(CodeOfAdd(request, load), absl::StatusCode::kDeadlineExceeded);
  request.deadline = In(absl::Seconds(12));
  EXPECT_TRUE(Add(request, load).ok());
}

TEST_F(AdmissionQueueTest, DropsWhatWaitedTooLongForItsDeadline) {
  ASSERT_TRUE(Add({.handle = 1,
                   .images = 2,
                   .deadline = In(absl::Seconds(10)),
                   .least_run_time = absl::Seconds(4)})
                  .ok());
  ASSERT_TRUE(Add({.handle = 2, .deadline = In(absl::Seconds(10))}).ok());
  ASSERT_TRUE(Add({.handle = 3}).ok());
  clock_.Advance(absl::Seconds(6));
  EXPECT_THAT(queue_.DropLate(clock_.Now()), IsEmpty());
  clock_.Advance(absl::Milliseconds(1));
  EXPECT_THAT(queue_.DropLate(clock_.Now()), ElementsAre(1));
  EXPECT_EQ(queue_.images(), 2);
  clock_.Advance(absl::Seconds(4));
  EXPECT_THAT(queue_.DropLate(clock_.Now()), UnorderedElementsAre(2));
  EXPECT_THAT(TakeAll(), ElementsAre(3));
}

TEST_F(AdmissionQueueTest, RemoveForgetsWhatStillWaits) {
  ASSERT_TRUE(Add({.handle = 1, .images = 3}).ok());
  ASSERT_TRUE(Add({.handle = 2}).ok());
  ASSERT_EQ(queue_.Take(clock_.Now())->handle, 1u);
  EXPECT_TRUE(queue_.Remove(1));
  EXPECT_FALSE(queue_.Remove(1));
  EXPECT_EQ(queue_.images(), 1);
  EXPECT_THAT(TakeAll(), ElementsAre(2));
}

}  // namespace
}  // namespace ilf
