#include "server/generate_stream.h"

#include <memory>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/stream_registry.h"
#include "tests/server/recording_stream_observer.h"
#include "tests/testing/fake_clock.h"

namespace ilf {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr RequestHandle kHandle = 42;

// Keeps what it is told; the test says when a write is done.
class FakeTransport final : public StreamTransport {
 public:
  void Write(const v1::GenerateResponse* response) override { written.push_back(*response); }
  void Finish(const absl::Status& status) override { finished.push_back(status.code()); }
  void Abort() override { ++aborts; }

  std::vector<v1::GenerateResponse> written;
  std::vector<absl::StatusCode> finished;
  int aborts = 0;
};

// An engine that only counts what it is asked to cancel.
class CancelRecorder final : public Engine {
 public:
  const std::vector<ModelInfo>& Models() const override { return models_; }
  absl::StatusOr<RequestHandle> Submit(GenerationRequest, std::shared_ptr<EventSink>) override {
    return kHandle;
  }
  void Cancel(RequestHandle request, const absl::Status& why) override {
    cancelled.push_back(request);
    reasons.push_back(why.code());
  }
  absl::Duration RetryDelay() const override { return absl::Seconds(1); }
  void Drain(absl::Time) override {}
  bool Healthy() const override { return true; }

  std::vector<RequestHandle> cancelled;
  std::vector<absl::StatusCode> reasons;  // why, of each

 private:
  std::vector<ModelInfo> models_;
};

class GenerateStreamTest : public testing::Test {
 protected:
  PreviewEvent Preview(int step) const {
    return {0, step, 20, {ImageFormat::kPng, 8, 8, std::string(10, 'p')}};
  }

  ImageEvent Image(size_t bytes) const {
    ImageEvent event;
    event.image = {ImageFormat::kPng, 8, 8, std::string(bytes, 'i')};
    return event;
  }

  std::shared_ptr<GenerateStream> MakeStream(absl::Time deadline) {
    return std::make_shared<GenerateStream>(
        "id", "model", deadline, GenerateStream::Parts{&engine_, &transport_, &observer_, &clock_},
        GenerateStreamOptions{{.max_bytes = 1000, .max_chunk_bytes = 1000}, absl::Seconds(30)});
  }

  FakeClock clock_;
  FakeTransport transport_;
  CancelRecorder engine_;
  RecordingStreamObserver observer_;
  const std::shared_ptr<GenerateStream> stream_ = MakeStream(absl::InfiniteFuture());
};

TEST_F(GenerateStreamTest, WritesOneResponseAtATime) {
  stream_->Submitted(kHandle);
  stream_->OnEvent(QueuedEvent{});
  stream_->OnEvent(StartedEvent{});
  ASSERT_EQ(transport_.written.size(), 1u);
  stream_->WriteDone(true);
  ASSERT_EQ(transport_.written.size(), 2u);
  EXPECT_TRUE(transport_.written[1].has_started());
}

TEST_F(GenerateStreamTest, FinishesOnceEverythingIsWritten) {
  stream_->Submitted(kHandle);
  stream_->OnEvent(CompletedEvent{});
  stream_->OnDone(absl::OkStatus());
  EXPECT_THAT(transport_.finished, IsEmpty());
  stream_->WriteDone(true);
  EXPECT_THAT(transport_.finished, ElementsAre(absl::StatusCode::kOk));
}

TEST_F(GenerateStreamTest, AFailedRequestStillDeliversItsImages) {
  stream_->Submitted(kHandle);
  stream_->OnEvent(Image(10));
  stream_->OnEvent(Image(10));
  stream_->OnDone(absl::InternalError("a step failed"));
  stream_->WriteDone(true);
  stream_->WriteDone(true);
  EXPECT_EQ(transport_.written.size(), 2u);
  EXPECT_THAT(transport_.finished, ElementsAre(absl::StatusCode::kInternal));
}

TEST_F(GenerateStreamTest, ARefusedSubmitFinishesTheCall) {
  stream_->Submitted(absl::ResourceExhaustedError("full"));
  EXPECT_THAT(transport_.finished, ElementsAre(absl::StatusCode::kResourceExhausted));
}

TEST_F(GenerateStreamTest, CancellationReachesTheEngineAndFinishesOnlyAfterItsAnswer) {
  stream_->Submitted(kHandle);
  stream_->Cancelled();
  EXPECT_THAT(engine_.cancelled, ElementsAre(kHandle));
  EXPECT_THAT(transport_.finished, IsEmpty());
  stream_->OnDone(absl::CancelledError("cancelled"));
  EXPECT_THAT(transport_.finished, ElementsAre(absl::StatusCode::kCancelled));
}

TEST_F(GenerateStreamTest, ACallThatIsEndedAtItsDeadlineExceededIt) {
  const auto stream = MakeStream(clock_.Now() + absl::Seconds(100));
  stream->Submitted(kHandle);
  // The client's clock is ahead of ours by what gRPC has rounded up.
  clock_.Advance(absl::Seconds(99));
  stream->Cancelled();
  EXPECT_THAT(engine_.reasons, ElementsAre(absl::StatusCode::kDeadlineExceeded));
  stream->OnDone(absl::DeadlineExceededError("late"));
  EXPECT_THAT(transport_.finished, ElementsAre(absl::StatusCode::kDeadlineExceeded));
}

TEST_F(GenerateStreamTest, ACallThatIsEndedBeforeItsDeadlineIsCancelled) {
  const auto stream = MakeStream(clock_.Now() + absl::Seconds(100));
  stream->Submitted(kHandle);
  clock_.Advance(absl::Seconds(97));
  stream->Cancelled();
  EXPECT_THAT(engine_.reasons, ElementsAre(absl::StatusCode::kCancelled));
}

TEST_F(GenerateStreamTest, WhatTheClientDidNotWaitForIsNoSuccess) {
  stream_->Submitted(kHandle);
  stream_->OnEvent(Image(10));
  stream_->OnEvent(CompletedEvent{});
  stream_->OnDone(absl::OkStatus());
  stream_->Cancelled();
  stream_->WriteDone(false);
  EXPECT_THAT(transport_.finished, ElementsAre(absl::StatusCode::kCancelled));
}

TEST_F(GenerateStreamTest, CancellationBeforeSubmitReturnsIsNotLost) {
  stream_->Cancelled();
  EXPECT_THAT(engine_.cancelled, IsEmpty());
  stream_->Submitted(kHandle);
  EXPECT_THAT(engine_.cancelled, ElementsAre(kHandle));
}

TEST_F(GenerateStreamTest, CancellationWaitsForTheWriteUnderWay) {
  stream_->Submitted(kHandle);
  stream_->OnEvent(QueuedEvent{});
  stream_->OnEvent(StartedEvent{});
  stream_->Cancelled();
  stream_->OnDone(absl::CancelledError("cancelled"));
  EXPECT_THAT(transport_.finished, IsEmpty());
  stream_->WriteDone(false);
  EXPECT_THAT(transport_.finished, ElementsAre(absl::StatusCode::kCancelled));
  EXPECT_EQ(transport_.written.size(), 1u);
}

TEST_F(GenerateStreamTest, AFailedWriteCancelsTheRequest) {
  stream_->Submitted(kHandle);
  stream_->OnEvent(QueuedEvent{});
  stream_->WriteDone(false);
  EXPECT_THAT(engine_.cancelled, ElementsAre(kHandle));
}

TEST_F(GenerateStreamTest, CancellationAfterTheEndDoesNotTroubleTheEngine) {
  stream_->Submitted(kHandle);
  stream_->OnEvent(CompletedEvent{});
  stream_->OnDone(absl::OkStatus());
  stream_->Cancelled();
  EXPECT_THAT(engine_.cancelled, IsEmpty());
}

TEST_F(GenerateStreamTest, CountsPreviewsSentAndDropped) {
  stream_->Submitted(kHandle);
  for (int step = 1; step <= 4; ++step) stream_->OnEvent(Preview(step));
  stream_->WriteDone(true);
  stream_->WriteDone(true);
  EXPECT_EQ(observer_.previews_sent(), 2);
  EXPECT_EQ(observer_.previews_dropped(), 2);
  ASSERT_EQ(transport_.written.size(), 2u);
  EXPECT_EQ(transport_.written[1].preview().step(), 4);
}

TEST_F(GenerateStreamTest, AStreamThatAcceptsNothingForTooLongIsAborted) {
  stream_->Submitted(kHandle);
  stream_->OnEvent(QueuedEvent{});
  clock_.Advance(absl::Seconds(29));
  EXPECT_FALSE(stream_->CancelIfStalled());
  clock_.Advance(absl::Seconds(1));
  EXPECT_TRUE(stream_->CancelIfStalled());
  EXPECT_FALSE(stream_->CancelIfStalled());
  EXPECT_EQ(transport_.aborts, 1);
  EXPECT_EQ(observer_.streams_stalled(), 1);
}

TEST_F(GenerateStreamTest, EveryAcceptedResponseStartsTheStallClockAnew) {
  stream_->Submitted(kHandle);
  stream_->OnEvent(QueuedEvent{});
  stream_->OnEvent(StartedEvent{});
  clock_.Advance(absl::Seconds(20));
  stream_->WriteDone(true);
  clock_.Advance(absl::Seconds(20));
  EXPECT_FALSE(stream_->CancelIfStalled());
}

TEST_F(GenerateStreamTest, AStreamWithNothingToSendIsNotStalled) {
  stream_->Submitted(kHandle);
  clock_.Advance(absl::Hours(1));
  EXPECT_FALSE(stream_->CancelIfStalled());
}

TEST_F(GenerateStreamTest, AReaderThatLeavesTooManyBytesIsAborted) {
  stream_->Submitted(kHandle);
  stream_->OnEvent(Image(400));
  stream_->OnEvent(Image(900));
  stream_->OnEvent(Image(200));
  EXPECT_EQ(transport_.aborts, 1);
  EXPECT_EQ(observer_.streams_stalled(), 1);
  stream_->Cancelled();
  EXPECT_THAT(engine_.cancelled, ElementsAre(kHandle));
}

TEST_F(GenerateStreamTest, AnAbortAfterTheEndTouchesNothing) {
  stream_->Submitted(kHandle);
  stream_->OnDone(absl::OkStatus());
  clock_.Advance(absl::Hours(1));
  EXPECT_FALSE(stream_->CancelIfStalled());
  stream_->Cancelled();
  EXPECT_EQ(transport_.finished.size(), 1u);
}

TEST_F(GenerateStreamTest, RegistryRefusesARunningIdAndCancelsStalledStreams) {
  StreamRegistry registry;
  EXPECT_TRUE(registry.Add("id", stream_));
  EXPECT_FALSE(registry.Add("id", stream_));
  stream_->OnEvent(QueuedEvent{});
  EXPECT_EQ(registry.CancelStalled(), 0);
  clock_.Advance(absl::Seconds(31));
  EXPECT_EQ(registry.CancelStalled(), 1);
  registry.Remove("id");
  EXPECT_TRUE(registry.Add("id", stream_));
}

}  // namespace
}  // namespace ilf
