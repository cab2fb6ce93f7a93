// Shutting down.
#include <memory>
#include <string>
#include <thread>

#include "absl/synchronization/notification.h"
#include "engine/base/thread_pool.h"
#include "tests/runtime/engine_fixture.h"

namespace ilf {
namespace {

class EngineDrainTest : public EngineTest {};

TEST_F(EngineDrainTest, AnIdleEngineDrainsAtOnceAndRefusesWhatIsNew) {
  Build({});
  engine_->Drain(absl::InfiniteFuture());
  EXPECT_EQ(Refusal(TestRequest("a")), absl::StatusCode::kUnavailable);
  EXPECT_EQ(record().requests[absl::StatusCode::kUnavailable], 1);
}

TEST_F(EngineDrainTest, AtTheDeadlineWhatIsLeftEndsWithUnavailable) {
  Build({});
  const Submitted runs = Submit(TestRequest("runs"));
  engine_->RunOnce(0);
  const Submitted waits = Submit(TestRequest("waits"));
  engine_->Drain(clock_.Now());
  EXPECT_EQ(runs.sink->status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(waits.sink->status().code(), absl::StatusCode::kUnavailable);
  RunUntilIdle();
  EXPECT_EQ(runners_[0]->batches().size(), 1u);
}

TEST_F(EngineDrainTest, TheDestructorEndsWhatIsLeft) {
  Build({});
  const Submitted a = Submit(TestRequest("a", 1, 2));
  engine_->RunOnce(0);
  engine_.reset();
  EXPECT_EQ(a.sink->status().code(), absl::StatusCode::kUnavailable);
}

TEST_F(EngineDrainTest, WhatRunsAndWhatWaitsIsFinished) {
  absl::Notification draining;
  absl::Notification stepping;
  FakeStepRunner::Hooks hooks;
  hooks.run = [&](const FakeBatch&) {
    if (!stepping.HasBeenNotified()) stepping.Notify();
    draining.WaitForNotification();
    return absl::OkStatus();
  };
  EngineParts parts;
  parts.runners.push_back(std::make_unique<FakeStepRunner>(hooks));
  parts.executor = std::make_unique<ThreadPool>(1);
  parts.clock = SystemClock();
  parts.observer = &observer_;
  EngineOptions options;
  options.worker.max_active_images = 1;
  const std::unique_ptr<Engine> engine = MakeEngine(options, std::move(parts));
  const auto runs = std::make_shared<RecordingSink>();
  const auto waits = std::make_shared<RecordingSink>();
  ASSERT_TRUE(engine->Submit(TestRequest("runs", 5), runs).ok());
  stepping.WaitForNotification();
  ASSERT_TRUE(engine->Submit(TestRequest("waits", 5), waits).ok());

  std::thread drain([&] { engine->Drain(absl::InfiniteFuture()); });
  while (engine->Submit(TestRequest("probe"), std::make_shared<RecordingSink>()).ok()) {
    std::this_thread::yield();
  }
  EXPECT_FALSE(runs->done());
  draining.Notify();
  drain.join();
  EXPECT_TRUE(runs->status().ok());
  EXPECT_TRUE(waits->status().ok());
}

}  // namespace
}  // namespace ilf
