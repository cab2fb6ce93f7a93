// What images need before their first step: together, apart from the steps, and in bounded time.
#include <string>
#include <utility>
#include <vector>

#include "tests/runtime/engine_fixture.h"

namespace ilf {
namespace {

using ::testing::ElementsAre;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

class EnginePrepareTest : public EngineTest {
 protected:
  // Every preparation takes `each` for each of its images, and is answered by `answer`.
  void BuildPreparing(
      absl::Duration each,
      std::function<absl::Status(const FakeBatch&)> answer =
          [](const FakeBatch&) { return absl::OkStatus(); },
      const EngineOptions& options = {}) {
    FakeStepRunner::Hooks hooks;
    hooks.prepare = [this, each, answer = std::move(answer)](const FakeBatch& batch) {
      prepared_.push_back(batch);
      clock_.Advance(each * static_cast<int64_t>(batch.size()));
      return answer(batch);
    };
    Build(options, {hooks});
  }

  std::vector<FakeBatch> prepared_;
};

TEST_F(EnginePrepareTest, ImagesTakenUpTogetherArePreparedTogetherByBatchKey) {
  BuildPreparing(absl::ZeroDuration());
  Submit(TestRequest("a", 2, 2));
  GenerationRequest other = TestRequest("o", 2);
  other.model = "other";
  Submit(other);
  Submit(TestRequest("b", 2));
  RunUntilIdle();
  EXPECT_THAT(prepared_,
              UnorderedElementsAre(ElementsAre("a/0", "a/1", "b/0"), ElementsAre("o/0")));
}

TEST_F(EnginePrepareTest, ItsTimeIsNotThatOfAStep) {
  BuildPreparing(absl::Seconds(7));
  const Submitted a = Submit(TestRequest("a", 2));
  RunUntilIdle();
  for (const StepReport& step : record().steps) EXPECT_EQ(step.duration, absl::ZeroDuration());
  EXPECT_THAT(record().preparations, ElementsAre(absl::Seconds(7)));
  EXPECT_EQ(record().busy[0], absl::Seconds(7));
  EXPECT_EQ(a.sink->EventsOf<ImageEvent>().at(0).timings.denoise, absl::Seconds(7));
}

TEST_F(EnginePrepareTest, AFailureEndsTheImagesPreparedTogetherAndNoOthers) {
  BuildPreparing(absl::ZeroDuration(), [](const FakeBatch& batch) {
    return batch.front() == "a/0" ? absl::InternalError("bad prompt") : absl::OkStatus();
  });
  const Submitted a = Submit(TestRequest("a"));
  const Submitted with_a = Submit(TestRequest("b"));
  GenerationRequest other = TestRequest("o");
  other.model = "other";
  const Submitted apart = Submit(other);
  RunUntilIdle();
  EXPECT_EQ(a.sink->status(), absl::InternalError("bad prompt"));
  EXPECT_EQ(with_a.sink->status(), absl::InternalError("bad prompt"));
  EXPECT_TRUE(apart.sink->status().ok());
  EXPECT_THAT(record().failed_steps, ElementsAre(absl::StatusCode::kInternal));
  EXPECT_EQ(record().active_images[0], 0);
}

TEST_F(EnginePrepareTest, WhatDoesNotFitIntoMemoryTogetherIsPreparedInHalves) {
  BuildPreparing(absl::ZeroDuration(), [](const FakeBatch& batch) {
    return batch.size() > 1 || batch.front() == "d/0" ? absl::ResourceExhaustedError("full")
                                                      : absl::OkStatus();
  });
  const Submitted a = Submit(TestRequest("a", 2, 3));
  const Submitted d = Submit(TestRequest("d", 2));
  RunUntilIdle();
  EXPECT_TRUE(a.sink->status().ok());
  EXPECT_EQ(d.sink->status(), absl::ResourceExhaustedError("full"));
}

// The first preparation takes 120 ms, so a half of that is expected of the next, and two do not
// fit.
TEST_F(EnginePrepareTest, WhileImagesAreUnderWayNoMoreAreTakenUpThanThereIsTimeFor) {
  EngineOptions options;
  options.worker.max_begin_time = absl::Milliseconds(100);
  BuildPreparing(
      absl::Milliseconds(120), [](const FakeBatch&) { return absl::OkStatus(); }, options);
  Submit(TestRequest("a", 9));
  engine_->RunOnce(0);
  prepared_.clear();
  Submit(TestRequest("b", 9, 3));
  engine_->RunOnce(0);
  EXPECT_THAT(prepared_, ElementsAre(ElementsAre("b/0")));
  engine_->RunOnce(0);
  EXPECT_THAT(prepared_, ElementsAre(ElementsAre("b/0"), ElementsAre("b/1")));
}

TEST_F(EnginePrepareTest, AnIdleWorkerTakesUpAllItHasRoomFor) {
  EngineOptions options;
  options.worker.max_begin_time = absl::Milliseconds(100);
  BuildPreparing(
      absl::Seconds(1), [](const FakeBatch&) { return absl::OkStatus(); }, options);
  Submit(TestRequest("a", 1));
  RunUntilIdle();
  prepared_.clear();
  Submit(TestRequest("b", 1, 3));
  engine_->RunOnce(0);
  EXPECT_THAT(prepared_, ElementsAre(SizeIs(3)));
}

}  // namespace
}  // namespace ilf
