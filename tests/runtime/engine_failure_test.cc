// What goes wrong on a device, and whom it hits.
#include <algorithm>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/runtime/engine_fixture.h"

namespace ilf {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

FakeStepRunner::Hooks OnRun(std::function<absl::Status(const FakeBatch&)> run) {
  FakeStepRunner::Hooks hooks;
  hooks.run = std::move(run);
  return hooks;
}

bool Holds(const FakeBatch& batch, const std::string& name) {
  return std::find(batch.begin(), batch.end(), name) != batch.end();
}

class EngineFailureTest : public EngineTest {};

TEST_F(EngineFailureTest, AFailedStepFailsOnlyTheImagesOfItsBatch) {
  Build({}, {OnRun([](const FakeBatch& batch) {
          return Holds(batch, "a/0") ? absl::InternalError("bad step") : absl::OkStatus();
        })});
  const Submitted a = Submit(TestRequest("a"));
  const Submitted with_a = Submit(TestRequest("b"));
  GenerationRequest other = TestRequest("c");
  other.model = "other";
  const Submitted apart = Submit(other);
  RunUntilIdle();
  EXPECT_EQ(a.sink->status(), absl::InternalError("bad step"));
  EXPECT_EQ(with_a.sink->status(), absl::InternalError("bad step"));
  EXPECT_TRUE(apart.sink->status().ok());
  EXPECT_THAT(record().failed_steps, ElementsAre(absl::StatusCode::kInternal));
  EXPECT_EQ(record().active_images[0], 0);
}

TEST_F(EngineFailureTest, AThrownErrorOfOneWorkerFailsOnlyItsImages) {
  Build({}, {OnRun([](const FakeBatch&) -> absl::Status {
               throw std::runtime_error("device lost\nat frame 0");
             }),
             {}});
  const Submitted a = Submit(TestRequest("a"));
  const Submitted b = Submit(TestRequest("b"));
  RunUntilIdle();
  EXPECT_EQ(a.sink->status(), absl::InternalError("Run failed: device lost"));
  EXPECT_TRUE(b.sink->status().ok());
  EXPECT_THAT(runners_[1]->batches(), SizeIs(4));

  // The worker whose step failed goes on with the next request.
  const Submitted c = Submit(TestRequest("c"));
  engine_->RunOnce(0);
  EXPECT_EQ(c.sink->status().code(), absl::StatusCode::kInternal);
}

TEST_F(EngineFailureTest, WhatIsThrownNeedNotBeAnException) {
  Build({}, {OnRun([](const FakeBatch&) -> absl::Status { throw 3; })});
  const Submitted a = Submit(TestRequest("a"));
  RunUntilIdle();
  EXPECT_EQ(a.sink->status().code(), absl::StatusCode::kInternal);
}

TEST_F(EngineFailureTest, OneFailedImageEndsItsRequestAndItsOtherImagesLeave) {
  bool failed_once = false;
  Build({}, {{}, OnRun([&](const FakeBatch&) -> absl::Status {
               if (failed_once) return absl::OkStatus();
               failed_once = true;
               return absl::InternalError("bad step");
             })});
  const Submitted a = Submit(TestRequest("a", 4, 2));
  engine_->RunOnce(0);
  engine_->RunOnce(1);
  EXPECT_EQ(a.sink->status(), absl::InternalError("bad step"));
  RunUntilIdle();
  EXPECT_THAT(runners_[0]->batches(), SizeIs(1));
  EXPECT_EQ(record().requests[absl::StatusCode::kInternal], 1);
}

TEST_F(EngineFailureTest, OutOfMemorySplitsTheBatchAndEveryImageStillFinishes) {
  Build({}, {OnRun([](const FakeBatch& batch) {
          return batch.size() > 2 ? absl::ResourceExhaustedError("out of memory")
                                  : absl::OkStatus();
        })});
  const Submitted a = Submit(TestRequest("a", 1, 5));
  engine_->RunOnce(0);
  EXPECT_THAT(runners_[0]->batches(), ElementsAre(ElementsAre("a/0", "a/1"), ElementsAre("a/2"),
                                                  ElementsAre("a/3", "a/4")));
  RunUntilIdle();
  EXPECT_TRUE(a.sink->status().ok());
  EXPECT_THAT(record().failed_steps, SizeIs(2));
}

TEST_F(EngineFailureTest, AfterOutOfMemoryTheNextBatchesAreSmaller) {
  Build({}, {OnRun([](const FakeBatch& batch) {
          return batch.size() > 2 ? absl::ResourceExhaustedError("out of memory")
                                  : absl::OkStatus();
        })});
  const Submitted a = Submit(TestRequest("a", 8, 4));
  RunUntilIdle();
  EXPECT_TRUE(a.sink->status().ok());
  EXPECT_THAT(record().failed_steps, SizeIs(1));
}

TEST_F(EngineFailureTest, AnImageThatDoesNotFitAloneFailsAlone) {
  Build({}, {OnRun([](const FakeBatch& batch) {
          return Holds(batch, "b/0") ? absl::ResourceExhaustedError("out of memory")
                                     : absl::OkStatus();
        })});
  const Submitted a = Submit(TestRequest("a"));
  const Submitted b = Submit(TestRequest("b"));
  const Submitted c = Submit(TestRequest("c"));
  RunUntilIdle();
  EXPECT_TRUE(a.sink->status().ok());
  EXPECT_EQ(b.sink->status(), absl::ResourceExhaustedError("out of memory"));
  EXPECT_TRUE(c.sink->status().ok());
}

TEST_F(EngineFailureTest, ARequestThatCannotBeginFailsAlone) {
  FakeStepRunner::Hooks hooks;
  hooks.begin = [](const std::string& name) -> absl::Status {
    if (name == "a/0") throw std::runtime_error("no tokenizer");
    return absl::OkStatus();
  };
  Build({}, {hooks});
  const Submitted a = Submit(TestRequest("a", 4, 2));
  const Submitted b = Submit(TestRequest("b"));
  RunUntilIdle();
  EXPECT_EQ(a.sink->status(), absl::InternalError("Begin failed: no tokenizer"));
  EXPECT_TRUE(b.sink->status().ok());
  for (const FakeBatch& batch : runners_[0]->batches()) EXPECT_THAT(batch, ElementsAre("b/0"));
}

TEST_F(EngineFailureTest, AFailedDecodeEndsItsRequest) {
  FakeStepRunner::Hooks hooks;
  hooks.finish = [](const std::string& name) -> absl::Status {
    if (name == "a/1") throw std::runtime_error("decoder");
    return absl::OkStatus();
  };
  Build({}, {hooks});
  const Submitted a = Submit(TestRequest("a", 2, 2));
  RunUntilIdle();
  EXPECT_EQ(a.sink->status(), absl::InternalError("Finish failed: decoder"));
  EXPECT_THAT(a.sink->EventsOf<ImageEvent>(), SizeIs(1));
  EXPECT_THAT(a.sink->EventsOf<CompletedEvent>(), IsEmpty());
}

class FailingDeviceTest : public EngineTest {
 protected:
  // Worker 0 fails at every step while `broken_`; the other `healthy` ones work.
  void BuildBroken(int healthy) {
    std::vector<FakeStepRunner::Hooks> hooks(1 + healthy);
    hooks[0] = OnRun([this](const FakeBatch&) {
      return broken_ ? absl::InternalError("bad device") : absl::OkStatus();
    });
    Build({}, std::move(hooks));
  }

  // Whether one request after the other, so many of them, went well.
  std::vector<bool> Succeed(int requests) {
    std::vector<bool> results;
    for (int i = 0; i < requests; ++i) {
      const Submitted submitted = Submit(TestRequest("r", 1));
      RunUntilIdle();
      results.push_back(submitted.sink->status().ok());
    }
    return results;
  }

  bool broken_ = true;
};

TEST_F(FailingDeviceTest, LeavesTheImagesToTheOthersExceptOneAfterEachRest) {
  BuildBroken(/*healthy=*/1);
  EXPECT_THAT(Succeed(6), ElementsAre(false, false, false, true, true, true));
  clock_.Advance(EngineOptions().failure_rest);
  EXPECT_THAT(Succeed(3), ElementsAre(false, true, true));
  clock_.Advance(EngineOptions().failure_rest);
  broken_ = false;
  EXPECT_THAT(Succeed(2), ElementsAre(true, true));
  EXPECT_THAT(runners_[0]->batches(), SizeIs(2));
}

TEST_F(FailingDeviceTest, MakesTheEngineUnhealthyUntilItHasRested) {
  BuildBroken(/*healthy=*/1);
  Succeed(2);
  EXPECT_TRUE(engine_->Healthy());
  Succeed(1);
  EXPECT_FALSE(engine_->Healthy());
  clock_.Advance(EngineOptions().failure_rest);
  EXPECT_TRUE(engine_->Healthy());
  Succeed(1);
  EXPECT_FALSE(engine_->Healthy());
}

TEST_F(FailingDeviceTest, IsWellAgainAfterOneGoodStep) {
  BuildBroken(/*healthy=*/0);
  Succeed(3);
  EXPECT_FALSE(engine_->Healthy());
  broken_ = false;
  Succeed(1);
  EXPECT_TRUE(engine_->Healthy());
  broken_ = true;
  Succeed(2);
  EXPECT_TRUE(engine_->Healthy());
}

TEST_F(FailingDeviceTest, FailsAtOnceWhereThereIsNoOther) {
  BuildBroken(/*healthy=*/0);
  EXPECT_THAT(Succeed(5), ElementsAre(false, false, false, false, false));
}

TEST_F(FailingDeviceTest, CountsImagesThatCannotBegin) {
  FakeStepRunner::Hooks hooks;
  hooks.begin = [](const std::string&) { return absl::InternalError("device lost"); };
  Build({}, {hooks, {}});
  EXPECT_THAT(Succeed(4), ElementsAre(false, false, false, true));
}

TEST_F(FailingDeviceTest, IsNotOneThatIsAskedForTooMuchMemory) {
  Build({}, {OnRun([](const FakeBatch&) { return absl::ResourceExhaustedError("too large"); })});
  EXPECT_THAT(Succeed(4), ElementsAre(false, false, false, false));
  EXPECT_TRUE(engine_->Healthy());
}

TEST_F(EngineFailureTest, AStuckStepMakesTheEngineUnhealthyUntilItReturns) {
  EngineOptions options;
  options.watchdog_timeout = absl::Seconds(30);
  std::vector<bool> healthy;
  Build(options, {OnRun([&](const FakeBatch&) {
          clock_.Advance(absl::Seconds(30));
          healthy.push_back(engine_->Healthy());
          clock_.Advance(absl::Seconds(1));
          healthy.push_back(engine_->Healthy());
          return absl::OkStatus();
        })});
  Submit(TestRequest("a", 1));
  engine_->RunOnce(0);
  EXPECT_THAT(healthy, ElementsAre(true, false));
  EXPECT_TRUE(engine_->Healthy());
}

}  // namespace
}  // namespace ilf
