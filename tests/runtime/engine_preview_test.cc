// Previews: when they are taken, and what happens when encoding is slow or fails.
#include <stdexcept>
#include <string>

#include "tests/runtime/engine_fixture.h"

namespace ilf {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class EnginePreviewTest : public EngineTest {
 protected:
  static GenerationRequest WithPreviews(std::string id, int steps, int every_n_steps) {
    GenerationRequest request = TestRequest(std::move(id), steps);
    request.preview = PreviewOptions{.every_n_steps = every_n_steps};
    return request;
  }

  // One step of the worker, then everything that waits on the executor.
  void StepAndEncode() {
    engine_->RunOnce(0);
    executor_->RunAll();
  }
};

TEST_F(EnginePreviewTest, ComeEveryNStepsAndNeverForTheLastStep) {
  Build({});
  const Submitted a = Submit(WithPreviews("a", /*steps=*/6, /*every_n_steps=*/2));
  RunUntilIdle();
  EXPECT_THAT(a.sink->PreviewSteps(), ElementsAre(2, 4));
  EXPECT_EQ(a.sink->EventsOf<PreviewEvent>().at(0).image.bytes, "preview2");
  EXPECT_EQ(record().previews_encoded, 2);
}

TEST_F(EnginePreviewTest, OnlyForRequestsThatAsked) {
  int taken = 0;
  FakeStepRunner::Hooks hooks;
  hooks.take_preview = [&](const std::string&) {
    ++taken;
    return absl::OkStatus();
  };
  Build({}, {hooks});
  const Submitted a = Submit(TestRequest("a", 4));
  RunUntilIdle();
  EXPECT_EQ(taken, 0);
  EXPECT_THAT(a.sink->PreviewSteps(), IsEmpty());
}

TEST_F(EnginePreviewTest, ASlowEncoderHasOnePreviewOfAnImageToDo) {
  Build({});
  const Submitted a = Submit(WithPreviews("a", /*steps=*/10, /*every_n_steps=*/1));
  for (int step = 0; step < 4; ++step) engine_->RunOnce(0);
  EXPECT_EQ(executor_->pending(), 1);
  EXPECT_EQ(record().previews_skipped, 3);
  executor_->RunAll();
  StepAndEncode();
  EXPECT_THAT(a.sink->PreviewSteps(), ElementsAre(1, 5));
}

TEST_F(EnginePreviewTest, ThoseOfACancelledRequestAreNotEncoded) {
  Build({});
  const Submitted a = Submit(WithPreviews("a", /*steps=*/2, /*every_n_steps=*/1));
  engine_->RunOnce(0);
  ASSERT_EQ(executor_->pending(), 1);
  engine_->Cancel(a.handle, absl::CancelledError());
  executor_->RunAll();
  EXPECT_THAT(a.sink->PreviewSteps(), IsEmpty());
  EXPECT_EQ(record().previews_encoded, 0);
}

TEST_F(EnginePreviewTest, APreviewThatFailsIsLeftOutAndTheImageGoesOn) {
  FakeStepRunner::Hooks hooks;
  int takes = 0;
  int encodes = 0;
  hooks.take_preview = [&](const std::string&) -> absl::Status {
    if (++takes == 1) throw std::runtime_error("no memory");
    return absl::OkStatus();
  };
  hooks.encode_preview = [&] {
    return ++encodes == 1 ? absl::InternalError("encoder") : absl::OkStatus();
  };
  Build({}, {hooks});
  const Submitted a = Submit(WithPreviews("a", /*steps=*/5, /*every_n_steps=*/1));
  RunUntilIdle();
  EXPECT_THAT(a.sink->PreviewSteps(), ElementsAre(3, 4));
  EXPECT_TRUE(a.sink->status().ok());
}

TEST_F(EnginePreviewTest, TheFirstOneIsTimedFromTheSubmission) {
  FakeStepRunner::Hooks hooks;
  hooks.run = [this](const FakeBatch&) {
    clock_.Advance(absl::Seconds(1));
    return absl::OkStatus();
  };
  Build({}, {hooks});
  Submit(WithPreviews("a", /*steps=*/8, /*every_n_steps=*/3));
  RunUntilIdle();
  EXPECT_THAT(record().first_previews, ElementsAre(absl::Seconds(3)));
}

}  // namespace
}  // namespace ilf
