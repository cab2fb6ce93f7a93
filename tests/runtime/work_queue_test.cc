#include "engine/runtime/work_queue.h"

#include <memory>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/fake_clock.h"
#include "tests/testing/recording_observer.h"
#include "tests/testing/recording_sink.h"
#include "tests/testing/test_request.h"

namespace ilf {
namespace {

class WorkQueueTest : public ::testing::Test {
 protected:
  void Build(int workers, const EngineOptions& options = {}) {
    work_ = std::make_unique<WorkQueue>(options, workers, &clock_, &observer_);
  }

  std::shared_ptr<RunningRequest> Admit(GenerationRequest request) {
    auto running = std::make_shared<RunningRequest>(
        ++handle_, std::move(request), "key", std::make_shared<RecordingSink>(),
        RunningRequest::Listeners{&clock_, &observer_, [](RequestHandle) {}});
    EXPECT_TRUE(running->Admit([&] { return work_->Admit(running); }).ok());
    return running;
  }

  // How many images `worker` can take now.
  int TakeAll(int worker) {
    int taken = 0;
    while (work_->Take(worker).has_value()) ++taken;
    return taken;
  }

  FakeClock clock_;
  RecordingObserver observer_;
  RequestHandle handle_ = 0;
  std::unique_ptr<WorkQueue> work_;
};

TEST_F(WorkQueueTest, WorkersShareTheImagesEvenly) {
  Build(2);
  Admit(TestRequest("a", 4, 8));
  EXPECT_EQ(TakeAll(0), 4);
  EXPECT_EQ(TakeAll(1), 4);
}

TEST_F(WorkQueueTest, ABusyWorkerLeavesNewImagesToAnIdleOne) {
  Build(2);
  Admit(TestRequest("a", 4, 1));
  EXPECT_EQ(TakeAll(0), 1);
  Admit(TestRequest("b", 4, 1));
  EXPECT_EQ(TakeAll(0), 0);
  EXPECT_EQ(TakeAll(1), 1);
}

TEST_F(WorkQueueTest, AnIdleWorkerAlwaysGetsAnImage) {
  Build(3);
  Admit(TestRequest("a", 4, 1));
  EXPECT_EQ(TakeAll(2), 1);
}

TEST_F(WorkQueueTest, AFullWorkerTakesNothing) {
  EngineOptions options;
  options.worker.max_active_images = 3;
  Build(1, options);
  Admit(TestRequest("a", 4, 5));
  EXPECT_EQ(TakeAll(0), 3);
  work_->Left(0);
  EXPECT_EQ(TakeAll(0), 1);
  EXPECT_EQ(observer_.record().active_images[0], 3);
  EXPECT_EQ(observer_.record().queue_length, 1);
}

TEST_F(WorkQueueTest, AStuckWorkerHasNoShareAndIsUnhealthy) {
  EngineOptions options;
  options.watchdog_timeout = absl::Seconds(60);
  Build(2, options);
  work_->CallBegan(1);
  clock_.Advance(absl::Seconds(60));
  EXPECT_TRUE(work_->Healthy());
  clock_.Advance(absl::Seconds(1));
  EXPECT_FALSE(work_->Healthy());
  Admit(TestRequest("a", 4, 4));
  EXPECT_EQ(TakeAll(0), 4);
  work_->CallEnded(1);
  EXPECT_TRUE(work_->Healthy());
}

TEST_F(WorkQueueTest, RetryDelayFollowsTheTimeBetweenTwoImages) {
  EngineOptions options;
  options.worker.max_active_images = 4;
  Build(2, options);
  EXPECT_GT(work_->RetryDelay(), absl::ZeroDuration());
  work_->AddRun(absl::Seconds(16));
  EXPECT_EQ(work_->RetryDelay(), absl::Seconds(2));
  clock_.Advance(absl::Hours(1));
  EXPECT_GT(work_->RetryDelay(), absl::ZeroDuration());
}

TEST_F(WorkQueueTest, ARemovedRequestIsNotTaken) {
  Build(1);
  const auto a = Admit(TestRequest("a", 4, 2));
  Admit(TestRequest("b"));
  work_->Remove(a->handle());
  EXPECT_EQ(observer_.record().queue_length, 1);
  EXPECT_EQ(work_->Take(0)->request->request().request_id, "b");
  EXPECT_FALSE(work_->Take(0).has_value());
}

TEST_F(WorkQueueTest, EveryChangeThatBringsWorkBeginsAnEpoch) {
  Build(1);
  uint64_t epoch = work_->Epoch();
  const auto a = Admit(TestRequest("a"));
  EXPECT_NE(work_->Epoch(), epoch);
  work_->AwaitEpochAfter(epoch);
  epoch = work_->Epoch();
  work_->Remove(a->handle());
  work_->AwaitEpochAfter(epoch);
  epoch = work_->Epoch();
  work_->Wake();
  work_->AwaitEpochAfter(epoch);
  work_->Stop();
  work_->AwaitEpochAfter(work_->Epoch());
  EXPECT_TRUE(work_->Stopped());
}

}  // namespace
}  // namespace ilf
