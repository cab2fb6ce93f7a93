#include "engine/runtime/running_request.h"

#include <memory>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/fake_clock.h"
#include "tests/testing/recording_observer.h"
#include "tests/testing/recording_sink.h"
#include "tests/testing/test_request.h"

namespace ilf {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class RunningRequestTest : public ::testing::Test {
 protected:
  std::unique_ptr<RunningRequest> Make(int images) {
    return std::make_unique<RunningRequest>(
        7, TestRequest("r", 4, images), "key", sink_,
        RunningRequest::Listeners{&clock_, &observer_,
                                  [this](RequestHandle handle) { ended_.push_back(handle); }});
  }

  std::unique_ptr<RunningRequest> MakeAdmitted(int images) {
    auto request = Make(images);
    EXPECT_TRUE(request->Admit([] { return QueuedEvent{}; }).ok());
    return request;
  }

  static ImageEvent Image(int index) {
    ImageEvent image;
    image.image_index = index;
    return image;
  }

  FakeClock clock_;
  RecordingObserver observer_;
  std::shared_ptr<RecordingSink> sink_ = std::make_shared<RecordingSink>();
  std::vector<RequestHandle> ended_;
};

TEST_F(RunningRequestTest, ARefusedRequestNeverCallsItsSink) {
  const auto request = Make(1);
  const auto refuse = []() -> absl::StatusOr<QueuedEvent> {
    return absl::ResourceExhaustedError("full");
  };
  EXPECT_EQ(request->Admit(refuse), absl::ResourceExhaustedError("full"));
  EXPECT_TRUE(request->Ended());
  request->End(absl::CancelledError());
  EXPECT_FALSE(sink_->done());
  EXPECT_THAT(sink_->events(), IsEmpty());
  EXPECT_THAT(ended_, IsEmpty());
  EXPECT_EQ(sink_.use_count(), 1);
  EXPECT_EQ(observer_.record().requests[absl::StatusCode::kResourceExhausted], 1);
}

TEST_F(RunningRequestTest, StartsOnceAndCompletesAfterItsLastImage) {
  const auto request = MakeAdmitted(2);
  clock_.Advance(absl::Seconds(3));
  request->Taken();
  clock_.Advance(absl::Seconds(1));
  request->Taken();
  request->ImageDone(Image(1));
  EXPECT_FALSE(sink_->done());
  clock_.Advance(absl::Seconds(1));
  request->ImageDone(Image(0));
  EXPECT_TRUE(sink_->status().ok());
  const auto started = sink_->EventsOf<StartedEvent>();
  ASSERT_EQ(started.size(), 1u);
  EXPECT_EQ(started[0].queue_wait, absl::Seconds(3));
  const auto completed = sink_->EventsOf<CompletedEvent>();
  ASSERT_EQ(completed.size(), 1u);
  EXPECT_EQ(completed[0].images, 2);
  EXPECT_EQ(completed[0].total, absl::Seconds(5));
  EXPECT_TRUE(std::holds_alternative<CompletedEvent>(sink_->events().back()));
  EXPECT_THAT(ended_, ElementsAre(7));
}

TEST_F(RunningRequestTest, AfterItsEndNothingPasses) {
  const auto request = MakeAdmitted(1);
  request->End(absl::CancelledError("first"));
  request->End(absl::InternalError("second"));
  request->Taken();
  request->Stepped({0, 1, 4});
  EXPECT_FALSE(request->StartPreview(0));
  request->FinishPreview({0, 1, 4}, EncodedImage());
  request->ImageDone(Image(0));
  EXPECT_EQ(sink_->status(), absl::CancelledError("first"));
  EXPECT_EQ(sink_->events().size(), 1u);  // Queued
  EXPECT_THAT(ended_, ElementsAre(7));
}

TEST_F(RunningRequestTest, LetsGoOfTheSinkAtItsEnd) {
  const auto request = MakeAdmitted(1);
  EXPECT_EQ(sink_.use_count(), 2);
  request->End(absl::CancelledError());
  EXPECT_EQ(sink_.use_count(), 1);
}

TEST_F(RunningRequestTest, OnePreviewOfAnImageIsUnderWayAtATime) {
  const auto request = MakeAdmitted(2);
  EXPECT_TRUE(request->StartPreview(0));
  EXPECT_FALSE(request->StartPreview(0));
  EXPECT_TRUE(request->StartPreview(1));
  request->FinishPreview({0, 1, 4}, EncodedImage());
  EXPECT_TRUE(request->StartPreview(0));
  EXPECT_EQ(observer_.record().previews_skipped, 1);
}

TEST_F(RunningRequestTest, APreviewAfterItsImageIsDropped) {
  const auto request = MakeAdmitted(2);
  ASSERT_TRUE(request->StartPreview(0));
  ASSERT_TRUE(request->StartPreview(1));
  request->ImageDone(Image(0));
  request->FinishPreview({0, 3, 4}, EncodedImage());
  request->FinishPreview({1, 2, 4}, EncodedImage());
  EXPECT_THAT(sink_->PreviewSteps(), ElementsAre(2));
  EXPECT_EQ(observer_.record().previews_skipped, 1);
  EXPECT_EQ(observer_.record().previews_encoded, 1);
}

TEST_F(RunningRequestTest, OnlyTheFirstPreviewIsTimed) {
  const auto request = MakeAdmitted(1);
  for (int step = 1; step < 4; ++step) {
    clock_.Advance(absl::Seconds(2));
    ASSERT_TRUE(request->StartPreview(0));
    request->FinishPreview(
        {0, step, 4}, step == 1 ? absl::StatusOr<EncodedImage>(absl::InternalError("no preview"))
                                : EncodedImage());
  }
  EXPECT_THAT(sink_->PreviewSteps(), ElementsAre(2, 3));
  EXPECT_THAT(observer_.record().first_previews, ElementsAre(absl::Seconds(4)));
}

}  // namespace
}  // namespace ilf
