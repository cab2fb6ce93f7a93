#include "engine/batching/step_batcher.h"

#include <map>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/fake_clock.h"

namespace ilf {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

class StepBatcherTest : public ::testing::Test {
 protected:
  void Add(const BatchableImage& image) { batcher_.Add(image, clock_.Now()); }
  std::vector<ImageId> Plan() { return batcher_.Plan(clock_.Now()); }
  // Plans a batch and lets it take its step.
  std::vector<ImageId> Step() {
    std::vector<ImageId> batch = Plan();
    batcher_.Stepped(batch, clock_.Now());
    return batch;
  }

  FakeClock clock_;
  StepBatcher batcher_{{.max_batch_rows = 4,
                        .max_batch_tokens = 100,
                        .max_wait = absl::Seconds(2),
                        .memory_backoff = absl::Seconds(60)}};
};

TEST_F(StepBatcherTest, WithoutImagesThereIsNoBatch) { EXPECT_THAT(Plan(), IsEmpty()); }

TEST_F(StepBatcherTest, OnlyImagesWithOneKeyShareABatch) {
  Add({.id = 0, .batch_key = "a", .arrival = 1});
  Add({.id = 1, .batch_key = "b", .arrival = 2});
  Add({.id = 2, .batch_key = "a", .arrival = 3});
  EXPECT_THAT(Plan(), ElementsAre(0, 2));
}

TEST_F(StepBatcherTest, PlanningChangesNothing) {
  Add({.id = 0, .batch_key = "a"});
  Add({.id = 1, .batch_key = "b"});
  EXPECT_EQ(Plan(), Plan());
}

TEST_F(StepBatcherTest, RowsAreBoundedAndAGuidedImageCountsTwo) {
  Add({.id = 0, .batch_key = "a", .rows = 2, .arrival = 1});
  Add({.id = 1, .batch_key = "a", .rows = 1, .arrival = 2});
  Add({.id = 2, .batch_key = "a", .rows = 2, .arrival = 3});
  Add({.id = 3, .batch_key = "a", .rows = 1, .arrival = 4});
  EXPECT_THAT(Plan(), ElementsAre(0, 1, 3));
}

TEST_F(StepBatcherTest, AnImageThatIsLargerThanTheBudgetGoesAlone) {
  Add({.id = 0, .batch_key = "a", .rows = 6, .arrival = 1});
  Add({.id = 1, .batch_key = "a", .rows = 1, .arrival = 2});
  EXPECT_THAT(Plan(), ElementsAre(0));
}

TEST_F(StepBatcherTest, TokensAreBoundedBesideRows) {
  Add({.id = 0, .batch_key = "a", .rows = 1, .tokens_per_row = 50, .arrival = 1});
  Add({.id = 1, .batch_key = "a", .rows = 2, .tokens_per_row = 30, .arrival = 2});
  Add({.id = 2, .batch_key = "a", .rows = 2, .tokens_per_row = 25, .arrival = 3});
  Add({.id = 3, .batch_key = "a", .rows = 1, .tokens_per_row = 1, .arrival = 4});
  EXPECT_THAT(Plan(), ElementsAre(0, 2));
}

TEST_F(StepBatcherTest, AnImageWithMoreTokensThanTheBudgetGoesAlone) {
  Add({.id = 0, .batch_key = "a", .tokens_per_row = 101, .arrival = 1});
  Add({.id = 1, .batch_key = "a", .arrival = 2});
  EXPECT_THAT(Plan(), ElementsAre(0));
}

TEST_F(StepBatcherTest, AfterOutOfMemoryHalfTheTokensAreLeft) {
  Add({.id = 0, .batch_key = "a", .tokens_per_row = 40, .arrival = 1});
  Add({.id = 1, .batch_key = "a", .tokens_per_row = 20, .arrival = 2});
  Add({.id = 2, .batch_key = "a", .tokens_per_row = 10, .arrival = 3});
  batcher_.OutOfMemory(Plan(), clock_.Now());
  EXPECT_THAT(Plan(), ElementsAre(0));
  batcher_.Remove(0);
  EXPECT_THAT(Plan(), ElementsAre(1, 2));
}

TEST_F(StepBatcherTest, WithinAKeyPriorityThenDeadlineThenArrivalDecide) {
  const absl::Time soon = clock_.Now() + absl::Seconds(9);
  Add({.id = 0, .batch_key = "a", .priority = Priority::kLow, .deadline = soon, .arrival = 1});
  Add({.id = 1, .batch_key = "a", .arrival = 2});
  Add({.id = 2, .batch_key = "a", .arrival = 3});
  Add({.id = 3, .batch_key = "a", .deadline = soon, .arrival = 4});
  Add({.id = 4, .batch_key = "a", .priority = Priority::kHigh, .arrival = 5});
  EXPECT_THAT(Plan(), ElementsAre(4, 3, 1, 2));
}

TEST_F(StepBatcherTest, KeysOfEqualPriorityTakeTurns) {
  Add({.id = 0, .batch_key = "a", .arrival = 1});
  Add({.id = 1, .batch_key = "b", .arrival = 2});
  Add({.id = 2, .batch_key = "c", .arrival = 3});
  for (int round = 0; round < 3; ++round) {
    EXPECT_THAT(Step(), ElementsAre(0));
    EXPECT_THAT(Step(), ElementsAre(1));
    EXPECT_THAT(Step(), ElementsAre(2));
  }
}

TEST_F(StepBatcherTest, TheKeyOfAHigherPriorityGoesFirstUntilTheOtherHasWaited) {
  Add({.id = 0, .batch_key = "a", .priority = Priority::kLow, .arrival = 1});
  Add({.id = 1, .batch_key = "b", .priority = Priority::kHigh, .arrival = 2});
  EXPECT_THAT(Step(), ElementsAre(1));
  EXPECT_THAT(Step(), ElementsAre(1));
  clock_.Advance(absl::Seconds(1));
  EXPECT_THAT(Step(), ElementsAre(1));
  clock_.Advance(absl::Seconds(1));
  EXPECT_THAT(Step(), ElementsAre(0));
  EXPECT_THAT(Step(), ElementsAre(1));
}

TEST_F(StepBatcherTest, WhatTheBudgetLeavesOutStepsAfterMaxWait) {
  for (int id = 0; id < 5; ++id) {
    Add({.id = id, .batch_key = "a", .arrival = static_cast<uint64_t>(id)});
  }
  EXPECT_THAT(Step(), ElementsAre(0, 1, 2, 3));
  EXPECT_THAT(Step(), ElementsAre(0, 1, 2, 3));
  clock_.Advance(absl::Milliseconds(1999));
  EXPECT_THAT(Step(), ElementsAre(0, 1, 2, 3));
  clock_.Advance(absl::Milliseconds(1));
  EXPECT_THAT(Step(), ElementsAre(4, 0, 1, 2));
}

// Whatever keys, priorities and deadlines meet, no image waits much longer than max_wait.
TEST_F(StepBatcherTest, NobodyWaitsForEver) {
  constexpr int kImages = 24;
  std::map<ImageId, absl::Time> last_step;
  for (int id = 0; id < kImages; ++id) {
    Add({.id = id,
         .batch_key = std::string(1, static_cast<char>('a' + id % 3)),
         .rows = 1 + id % 2,
         .tokens_per_row = 1 + id * 7 % 60,
         .priority = static_cast<Priority>(id % 7 % 3),
         .deadline = id % 5 == 0 ? clock_.Now() + absl::Seconds(id) : absl::InfiniteFuture(),
         .arrival = static_cast<uint64_t>(id)});
    last_step[id] = clock_.Now();
  }
  // After max_wait all others may be ahead, one a step at worst.
  const absl::Duration step_time = absl::Milliseconds(100);
  const absl::Duration bound = absl::Seconds(2) + kImages * step_time;
  for (int step = 0; step < 1000; ++step) {
    clock_.Advance(step_time);
    for (const ImageId id : Step()) last_step[id] = clock_.Now();
    for (const auto& [id, at] : last_step) ASSERT_LE(clock_.Now() - at, bound) << "image " << id;
  }
}

TEST_F(StepBatcherTest, ImagesJoinAndLeaveBetweenSteps) {
  Add({.id = 0, .batch_key = "a", .arrival = 1});
  Add({.id = 1, .batch_key = "a", .arrival = 2});
  EXPECT_THAT(Step(), ElementsAre(0, 1));
  batcher_.Remove(0);
  Add({.id = 2, .batch_key = "a", .arrival = 3});
  EXPECT_THAT(Step(), ElementsAre(1, 2));
  EXPECT_EQ(batcher_.images(), 2);
}

TEST_F(StepBatcherTest, RowsMayChangeFromStepToStep) {
  Add({.id = 0, .batch_key = "a", .rows = 2, .arrival = 1});
  Add({.id = 1, .batch_key = "a", .rows = 2, .arrival = 2});
  Add({.id = 2, .batch_key = "a", .rows = 2, .arrival = 3});
  EXPECT_THAT(Plan(), ElementsAre(0, 1));
  batcher_.SetRows(0, 1);
  batcher_.SetRows(2, 1);
  EXPECT_THAT(Plan(), ElementsAre(0, 1, 2));
}

TEST_F(StepBatcherTest, AfterOutOfMemoryBatchesOfThatKeyAreHalvedForAWhile) {
  for (int id = 0; id < 4; ++id) {
    Add({.id = id, .batch_key = "a", .arrival = static_cast<uint64_t>(id)});
  }
  batcher_.OutOfMemory(Plan(), clock_.Now());
  EXPECT_THAT(Plan(), ElementsAre(0, 1));
  batcher_.OutOfMemory(Plan(), clock_.Now());
  EXPECT_THAT(Plan(), ElementsAre(0));
  batcher_.OutOfMemory(Plan(), clock_.Now());
  EXPECT_THAT(Plan(), ElementsAre(0));
  clock_.Advance(absl::Seconds(60));
  EXPECT_THAT(Plan(), UnorderedElementsAre(0, 1, 2, 3));
}

TEST_F(StepBatcherTest, OutOfMemoryLeavesOtherKeysAlone) {
  for (int id = 0; id < 4; ++id) Add({.id = id, .batch_key = "a"});
  batcher_.OutOfMemory(Plan(), clock_.Now());
  batcher_.Stepped(Plan(), clock_.Now());
  for (int id = 4; id < 8; ++id) Add({.id = id, .batch_key = "b"});
  EXPECT_THAT(Plan(), UnorderedElementsAre(4, 5, 6, 7));
}

}  // namespace
}  // namespace ilf
