#include "client/command/progress.h"

#include <gtest/gtest.h>

#include "tests/client/scripted_server.h"

namespace ilf {
namespace {

TEST(ProgressTest, TellsTheQueueUntilTheStart) {
  Progress progress(1);
  progress.Take(QueuedEvent(3));
  EXPECT_EQ(progress.Summary(), "queued, 3 images ahead");
  progress.Take(QueuedEvent(1));
  EXPECT_EQ(progress.Summary(), "queued, 1 image ahead");
  progress.Take(StartedEvent());
  EXPECT_EQ(progress.Summary(), "started");
}

TEST(ProgressTest, CountsTheStepsOfOneImage) {
  Progress progress(1);
  progress.Take(StartedEvent());
  progress.Take(StepEvent(0, 5, 20));
  EXPECT_EQ(progress.Percent(), 25);
  EXPECT_EQ(progress.Summary(), "25 %, step 5 of 20");
}

TEST(ProgressTest, AddsUpTheStepsOfSeveralImages) {
  Progress progress(2);
  progress.Take(StartedEvent());
  progress.Take(StepEvent(0, 19, 20));
  progress.Take(StepEvent(1, 10, 20));
  progress.Take(ImageEvent(0, 20, ""));
  EXPECT_EQ(progress.Percent(), 75);
  EXPECT_EQ(progress.Summary(), "75 %, 30 of 40 steps, 1 of 2 images");
}

TEST(ProgressTest, MissedStepsDoNotMatter) {
  Progress progress(1);
  progress.Take(StartedEvent());
  progress.Take(StepEvent(0, 1, 4));
  progress.Take(StepEvent(0, 4, 4));
  EXPECT_EQ(progress.Percent(), 100);
}

TEST(DescribeEventTest, TellsWhatMatters) {
  EXPECT_EQ(DescribeEvent(QueuedEvent(2)), "request r1 for fashion is queued, 2 images ahead");
  EXPECT_EQ(DescribeEvent(StartedEvent()), "started after 0.25 s");
  EXPECT_EQ(DescribeEvent(CompletedEvent(1)), "1 image in 2.00 s");
  EXPECT_EQ(DescribeEvent(ImageEvent(1, 4, "")),
            "image 1: seed 8, 8x8, 4 steps in 0.00 s, decoded in 0.00 s, "
            "112 of 112 block evaluations");
  EXPECT_EQ(DescribeEvent(StepEvent(0, 1, 2)), "");
}

}  // namespace
}  // namespace ilf
