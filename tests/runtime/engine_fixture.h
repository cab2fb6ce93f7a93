// A PoolEngine without threads: the test is its workers and its executor, and holds the clock.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/runtime/pool_engine.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/fake_clock.h"
#include "tests/testing/fake_step_runner.h"
#include "tests/testing/manual_executor.h"
#include "tests/testing/recording_observer.h"
#include "tests/testing/recording_sink.h"
#include "tests/testing/test_request.h"

namespace ilf {

class EngineTest : public ::testing::Test {
 protected:
  struct Submitted {
    RequestHandle handle = 0;
    std::shared_ptr<RecordingSink> sink = std::make_shared<RecordingSink>();
  };

  // One worker for each element of `hooks`.
  void Build(const EngineOptions& options, std::vector<FakeStepRunner::Hooks> hooks = {{}}) {
    EngineParts parts;
    for (FakeStepRunner::Hooks& worker_hooks : hooks) {
      auto runner = std::make_unique<FakeStepRunner>(std::move(worker_hooks));
      runners_.push_back(runner.get());
      parts.runners.push_back(std::move(runner));
    }
    auto executor = std::make_unique<ManualExecutor>();
    executor_ = executor.get();
    parts.executor = std::move(executor);
    parts.clock = &clock_;
    parts.observer = &observer_;
    engine_ = std::make_unique<PoolEngine>(options, std::move(parts));
  }

  Submitted Submit(GenerationRequest request) {
    Submitted submitted;
    absl::StatusOr<RequestHandle> handle = engine_->Submit(std::move(request), submitted.sink);
    EXPECT_TRUE(handle.ok()) << handle.status();
    submitted.handle = handle.value_or(0);
    return submitted;
  }

  // The code with which the engine refuses `request`; its sink must not be called.
  absl::StatusCode Refusal(GenerationRequest request) {
    const auto sink = std::make_shared<RecordingSink>();
    const absl::Status status = engine_->Submit(std::move(request), sink).status();
    EXPECT_TRUE(sink->events().empty());
    EXPECT_FALSE(sink->done());
    return status.code();
  }

  // Workers take turns and the executor runs everything until nothing is left to do.
  void RunUntilIdle() {
    bool worked = true;
    while (worked) {
      worked = false;
      for (int i = 0; i < static_cast<int>(runners_.size()); ++i) worked |= engine_->RunOnce(i);
      worked |= executor_->pending() > 0;
      executor_->RunAll();
    }
  }

  RecordingObserver::Record record() const { return observer_.record(); }

  FakeClock clock_;
  RecordingObserver observer_;
  std::unique_ptr<PoolEngine> engine_;
  std::vector<FakeStepRunner*> runners_;  // of engine_
  ManualExecutor* executor_ = nullptr;    // of engine_
};

}  // namespace ilf
