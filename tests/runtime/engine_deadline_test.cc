// Deadlines: refused at once, dropped while waiting, expired while running.
#include <string>
#include <utility>

#include "tests/runtime/engine_fixture.h"

namespace ilf {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

class EngineDeadlineTest : public EngineTest {
 protected:
  // One worker whose steps take a second.
  void BuildSlow(EngineOptions options = {}, FakeStepRunner::Hooks hooks = {}) {
    hooks.run = [this](const FakeBatch&) {
      clock_.Advance(absl::Seconds(1));
      return absl::OkStatus();
    };
    Build(options, {hooks});
  }

  GenerationRequest Within(absl::Duration duration, GenerationRequest request) {
    request.deadline = clock_.Now() + duration;
    return request;
  }
};

TEST_F(EngineDeadlineTest, APassedDeadlineIsRefusedAtOnce) {
  BuildSlow();
  EXPECT_EQ(Refusal(Within(absl::ZeroDuration(), TestRequest("a"))),
            absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(record().requests[absl::StatusCode::kDeadlineExceeded], 1);
}

TEST_F(EngineDeadlineTest, WhatStepsCostDecidesWhatIsRefused) {
  BuildSlow();
  Submit(TestRequest("measured", /*steps=*/4));
  RunUntilIdle();
  EXPECT_EQ(Refusal(Within(absl::Seconds(9), TestRequest("a", /*steps=*/10))),
            absl::StatusCode::kDeadlineExceeded);
  const Submitted b = Submit(Within(absl::Seconds(10), TestRequest("b", /*steps=*/10)));
  RunUntilIdle();
  EXPECT_TRUE(b.sink->status().ok());
}

TEST_F(EngineDeadlineTest, SizesOfEquallyManyTokensShareWhatTheirStepsCost) {
  FakeStepRunner::Hooks hooks;
  hooks.tokens_per_row = [](const GenerationRequest&) { return 16; };
  BuildSlow({}, std::move(hooks));
  Submit(TestRequest("measured", /*steps=*/4));
  RunUntilIdle();
  GenerationRequest other = TestRequest("other", /*steps=*/10);
  other.width = other.height = 56;
  EXPECT_EQ(Refusal(Within(absl::Seconds(9), other)), absl::StatusCode::kDeadlineExceeded);
  other.model = "unmeasured";
  Submit(Within(absl::Seconds(9), other));
}

// A step of both takes 1 s and has 80 tokens: 5 rows of the small picture, of which one alone may
// take an eighth of the time of up to 8, and 2 of the large one.
TEST_F(EngineDeadlineTest, AStepOfSeveralSizesCountsByItsTokens) {
  BuildSlow();
  const auto large = [](GenerationRequest request) {
    request.width = request.height = 128;
    return request;
  };
  Submit(TestRequest("measured", /*steps=*/4));
  Submit(large(TestRequest("measured with it", /*steps=*/4)));
  RunUntilIdle();
  EXPECT_EQ(Refusal(Within(absl::Milliseconds(1200), TestRequest("a", /*steps=*/10))),
            absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(Refusal(Within(absl::Milliseconds(4900), large(TestRequest("b", /*steps=*/10)))),
            absl::StatusCode::kDeadlineExceeded);
  Submit(Within(absl::Milliseconds(1300), TestRequest("c", /*steps=*/10)));
  Submit(Within(absl::Milliseconds(5100), large(TestRequest("d", /*steps=*/10))));
}

TEST_F(EngineDeadlineTest, AnOldMeasurementRefusesNobody) {
  BuildSlow();
  Submit(TestRequest("measured", /*steps=*/4));
  RunUntilIdle();
  clock_.Advance(absl::Minutes(5));
  const Submitted a = Submit(Within(absl::Seconds(9), TestRequest("a", /*steps=*/10)));
  RunUntilIdle();
  EXPECT_EQ(a.sink->status().code(), absl::StatusCode::kDeadlineExceeded);
}

TEST_F(EngineDeadlineTest, ARequestThatWaitedTooLongIsDroppedBeforeItCostsAStep) {
  EngineOptions options;
  options.worker.max_active_images = 1;
  BuildSlow(options);
  Submit(TestRequest("measured", /*steps=*/1));
  RunUntilIdle();
  const Submitted first = Submit(TestRequest("first", /*steps=*/10));
  engine_->RunOnce(0);
  const Submitted waits = Submit(Within(absl::Seconds(8), TestRequest("waits", /*steps=*/4)));
  for (int step = 0; step < 5; ++step) engine_->RunOnce(0);
  EXPECT_FALSE(waits.sink->done());
  engine_->RunOnce(0);  // five seconds have passed: the four steps can no longer be done in time
  EXPECT_EQ(waits.sink->status().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(waits.sink->EventsOf<StartedEvent>(), IsEmpty());
  RunUntilIdle();
  EXPECT_TRUE(first.sink->status().ok());
  EXPECT_THAT(runners_[0]->batches(), SizeIs(1 + 10));
}

TEST_F(EngineDeadlineTest, ADeadlineThatPassesWhileRunningEndsTheRequestBeforeItsNextStep) {
  BuildSlow();
  const Submitted a = Submit(Within(absl::Milliseconds(2500), TestRequest("a", /*steps=*/10, 2)));
  RunUntilIdle();
  EXPECT_EQ(a.sink->status().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(a.sink->EventsOf<StepEvent>(), SizeIs(3 * 2));
  EXPECT_EQ(record().active_images[0], 0);
}

TEST_F(EngineDeadlineTest, AnEarlyDeadlineIsServedFirst) {
  EngineOptions options;
  options.worker.max_active_images = 1;
  BuildSlow(options);
  Submit(TestRequest("running", 1));
  engine_->RunOnce(0);
  Submit(Within(absl::Seconds(90), TestRequest("late", 1)));
  Submit(Within(absl::Seconds(60), TestRequest("early", 1)));
  RunUntilIdle();
  EXPECT_EQ(runners_[0]->batches().at(1).at(0), "early/0");
}

}  // namespace
}  // namespace ilf
