#include "server/generation_service.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/limits.h"
#include "tests/server/error_details_testing.h"
#include "tests/server/server_fixture.h"

namespace ilf {
namespace {

using testing::HasSubstr;

using GenerationServiceTest = ServerFixture;

ImageEvent ImageOf(size_t bytes) {
  ImageEvent event;
  event.seed = 5;
  event.image = {ImageFormat::kPng, 64, 64, std::string(bytes, 'i')};
  return event;
}

PreviewEvent PreviewOf(int step, size_t bytes) {
  return {0, step, 1'000'000, {ImageFormat::kPng, 64, 64, std::string(bytes, 'p')}};
}

TEST_F(GenerationServiceTest, StreamsTheEventsOfARequest) {
  StartServing();
  grpc::ClientContext context;
  v1::GenerateRequest request = BagRequest();
  request.set_request_id("mine");
  request.set_seed(9);
  const Stream stream = stub_->Generate(&context, request);

  const auto submission = engine_.AwaitSubmission();
  EXPECT_EQ(submission.request.request_id, "mine");
  EXPECT_EQ(submission.request.model, "dit");
  EXPECT_EQ(submission.request.seed, 9u);
  EXPECT_EQ(submission.request.deadline, absl::InfiniteFuture());
  submission.sink->OnEvent(QueuedEvent{1, absl::ZeroDuration()});
  submission.sink->OnEvent(StartedEvent{});
  submission.sink->OnEvent(ImageOf(700'000));
  submission.sink->OnEvent(CompletedEvent{1, absl::Seconds(1)});
  engine_.End(submission, absl::OkStatus());

  const auto responses = ReadAll(stream);
  EXPECT_TRUE(stream->Finish().ok());
  ASSERT_EQ(responses.size(), 6u);
  EXPECT_EQ(responses[0].queued().request_id(), "mine");
  EXPECT_EQ(responses[0].queued().model(), "dit");
  EXPECT_TRUE(responses[1].has_started());
  size_t bytes = 0;
  for (int i = 2; i < 5; ++i) bytes += responses[i].image().data().size();
  EXPECT_EQ(bytes, 700'000u);
  EXPECT_TRUE(responses[4].image().last_chunk());
  EXPECT_TRUE(responses[5].has_completed());
}

TEST_F(GenerationServiceTest, PicksARequestIdAndReportsIt) {
  StartServing();
  grpc::ClientContext context;
  const Stream stream = stub_->Generate(&context, BagRequest());
  const auto submission = engine_.AwaitSubmission();
  submission.sink->OnEvent(QueuedEvent{});
  engine_.End(submission, absl::OkStatus());
  const auto responses = ReadAll(stream);
  ASSERT_EQ(responses.size(), 1u);
  EXPECT_EQ(responses[0].queued().request_id(), submission.request.request_id);
  EXPECT_FALSE(submission.request.request_id.empty());
}

TEST_F(GenerationServiceTest, AnswersABadRequestWithEveryViolation) {
  StartServing();
  v1::GenerateRequest request = BagRequest();
  request.set_steps(-1);
  request.set_guidance_scale(99);
  const grpc::Status status = StatusOf(request);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(ViolationsOf(status),
              testing::ElementsAre(testing::Key("guidance_scale"), testing::Key("steps")));
}

TEST_F(GenerationServiceTest, AnswersAnUnknownModelWithNotFound) {
  StartServing();
  v1::GenerateRequest request = BagRequest();
  request.set_model("sd3");
  EXPECT_EQ(StatusOf(request).error_code(), grpc::StatusCode::NOT_FOUND);
}

TEST_F(GenerationServiceTest, AnswersWhatTheModelCannotDoWithItsName) {
  StartServing();
  v1::GenerateRequest request;
  request.set_model("dit");
  request.mutable_text_prompt()->set_prompt("a bag");
  const grpc::Status status = StatusOf(request);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_THAT(status.error_message(), HasSubstr("dit"));
  EXPECT_EQ(DetailOf<google::rpc::ErrorInfo>(status)->metadata().at("model"), "dit");
}

TEST_F(GenerationServiceTest, AFullQueueSaysWhenToComeBack) {
  StartServing();
  engine_.Refuse(absl::ResourceExhaustedError("the queue is full"));
  const grpc::Status status = StatusOf(BagRequest());
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  const auto retry = DetailOf<google::rpc::RetryInfo>(status);
  ASSERT_TRUE(retry.has_value());
  EXPECT_EQ(retry->retry_delay().seconds(), 1);
  EXPECT_EQ(retry->retry_delay().nanos(), 250'000'000);
}

TEST_F(GenerationServiceTest, IsUnavailableWhileModelsLoad) {
  Start();
  const grpc::Status status = StatusOf(BagRequest());
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_THAT(status.error_message(), HasSubstr("loading"));
  EXPECT_TRUE(DetailOf<google::rpc::RetryInfo>(status).has_value());

  grpc::ClientContext context;
  v1::ListModelsResponse models;
  EXPECT_EQ(stub_->ListModels(&context, {}, &models).error_code(), grpc::StatusCode::UNAVAILABLE);
}

TEST_F(GenerationServiceTest, ListsModelsByName) {
  StartServing();
  grpc::ClientContext context;
  v1::ListModelsResponse response;
  ASSERT_TRUE(stub_->ListModels(&context, {}, &response).ok());
  ASSERT_EQ(response.models_size(), 2);
  EXPECT_EQ(response.models(0).name(), "dit");
  EXPECT_EQ(response.models(1).name(), "pixart");
}

TEST_F(GenerationServiceTest, TellsOfOneModel) {
  StartServing();
  grpc::ClientContext context;
  v1::GetModelRequest request;
  request.set_name("pixart");
  v1::GetModelResponse response;
  ASSERT_TRUE(stub_->GetModel(&context, request, &response).ok());
  EXPECT_EQ(response.model().name(), "pixart");
  EXPECT_TRUE(response.model().accepts_text_prompt());
  EXPECT_EQ(response.model().max_prompt_tokens(), 300);
  EXPECT_EQ(response.model().feedback_plans_size(), 2);
}

TEST_F(GenerationServiceTest, AModelThatIsNotThereIsNamedBesideThoseThatAre) {
  StartServing();
  grpc::ClientContext context;
  v1::GetModelRequest request;
  request.set_name("sdxl");
  v1::GetModelResponse response;
  const grpc::Status status = stub_->GetModel(&context, request, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(status.error_message(), "no model 'sdxl'; there are: 'pixart', 'dit'");
}

TEST_F(GenerationServiceTest, OfSeveralModelsOneMustBeNamed) {
  StartServing();
  grpc::ClientContext context;
  v1::GetModelResponse response;
  const grpc::Status status = stub_->GetModel(&context, {}, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(ViolationsOf(status).at("name"), "required: one of 'pixart', 'dit'");
}

TEST_F(GenerationServiceTest, NoModelIsToldOfBeforeThereIsAnEngine) {
  Start();
  grpc::ClientContext context;
  v1::GetModelResponse response;
  EXPECT_EQ(stub_->GetModel(&context, {}, &response).error_code(), grpc::StatusCode::UNAVAILABLE);
}

TEST_F(GenerationServiceTest, PassesTheDeadlineOfTheCallOn) {
  StartServing();
  grpc::ClientContext context;
  const absl::Time deadline = absl::Now() + absl::Hours(1);
  context.set_deadline(absl::ToChronoTime(deadline));
  const Stream stream = stub_->Generate(&context, BagRequest());
  const auto submission = engine_.AwaitSubmission();
  // gRPC sends the time left, rounded, and the server adds it to its own clock.
  EXPECT_LT(absl::AbsDuration(submission.request.deadline - deadline), absl::Minutes(1));
  engine_.End(submission, absl::OkStatus());
  ReadAll(stream);
  EXPECT_TRUE(stream->Finish().ok());
}

TEST_F(GenerationServiceTest, CancellationByTheClientReachesTheEngine) {
  StartServing();
  grpc::ClientContext context;
  const Stream stream = stub_->Generate(&context, BagRequest());
  const auto submission = engine_.AwaitSubmission();
  submission.sink->OnEvent(QueuedEvent{});
  v1::GenerateResponse response;
  ASSERT_TRUE(stream->Read(&response));
  context.TryCancel();
  EXPECT_TRUE(engine_.AwaitCancelled(1));
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::CANCELLED);
}

TEST_F(GenerationServiceTest, AClientThatHangsUpIsCancelled) {
  StartServing();
  {
    grpc::ClientContext context;
    const Stream stream = stub_->Generate(&context, BagRequest());
    engine_.AwaitSubmission();
    context.TryCancel();
  }
  stub_.reset();
  health_.reset();
  channel_.reset();
  EXPECT_TRUE(engine_.AwaitCancelled(1));
}

TEST_F(GenerationServiceTest, ADeadlineThatPassesFreesTheRequest) {
  StartServing();
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(absl::Now() + absl::Seconds(3)));
  const Stream stream = stub_->Generate(&context, BagRequest());
  engine_.AwaitSubmission();
  EXPECT_TRUE(ReadAll(stream).empty());
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_TRUE(engine_.AwaitCancelled(1));
}

TEST_F(GenerationServiceTest, ARunningRequestIdIsRefusedAndFreeAgainAfterTheEnd) {
  StartServing();
  v1::GenerateRequest request = BagRequest();
  request.set_request_id("same");
  grpc::ClientContext context;
  const Stream stream = stub_->Generate(&context, request);
  const auto submission = engine_.AwaitSubmission();
  EXPECT_EQ(StatusOf(request).error_code(), grpc::StatusCode::ALREADY_EXISTS);
  engine_.End(submission, absl::OkStatus());
  ReadAll(stream);
  EXPECT_TRUE(stream->Finish().ok());

  engine_.Refuse(absl::UnavailableError("seen by the engine"));
  EXPECT_EQ(StatusOf(request).error_code(), grpc::StatusCode::UNAVAILABLE);
}

TEST_F(GenerationServiceTest, TheErrorOfTheEngineEndsTheStreamAfterWhatItMade) {
  StartServing();
  grpc::ClientContext context;
  const Stream stream = stub_->Generate(&context, BagRequest());
  const auto submission = engine_.AwaitSubmission();
  submission.sink->OnEvent(QueuedEvent{});
  submission.sink->OnEvent(ImageOf(100));
  engine_.End(submission, absl::InternalError("a step failed"));
  EXPECT_EQ(ReadAll(stream).size(), 2u);
  const grpc::Status status = stream->Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INTERNAL);
  EXPECT_EQ(status.error_message(), "a step failed");
}

TEST_F(GenerationServiceTest, ASlowReaderGetsTheNewestPreviewAndTheImage) {
  StartServing();
  grpc::ClientContext context;
  v1::GenerateRequest request = BagRequest();
  request.mutable_preview();
  const Stream stream = stub_->Generate(&context, request);
  const auto submission = engine_.AwaitSubmission();
  // Far more than any flow-control window holds, while nobody reads.
  constexpr int kPreviews = 2000;
  for (int step = 1; step <= kPreviews; ++step) {
    submission.sink->OnEvent(PreviewOf(step, 100'000));
  }
  submission.sink->OnEvent(ImageOf(1000));
  engine_.End(submission, absl::OkStatus());

  const auto responses = ReadAll(stream);
  EXPECT_TRUE(stream->Finish().ok());
  ASSERT_GE(responses.size(), 2u);
  EXPECT_LT(responses.size(), static_cast<size_t>(kPreviews));
  EXPECT_TRUE(responses.back().has_image());
  EXPECT_EQ(responses[responses.size() - 2].preview().step(), kPreviews);
  int last = 0;
  for (size_t i = 0; i + 1 < responses.size(); ++i) {
    EXPECT_GT(responses[i].preview().step(), last);
    last = responses[i].preview().step();
  }
}

TEST_F(GenerationServiceTest, AStreamThatNobodyReadsIsCancelled) {
  ServerOptions options = DefaultOptions();
  options.write_stall_timeout = absl::Seconds(1);
  options.max_stream_bytes = 1 << 30;
  StartServing(options);
  grpc::ClientContext context;
  const Stream stream = stub_->Generate(&context, BagRequest());
  const auto submission = engine_.AwaitSubmission();
  for (int i = 0; i < 40; ++i) submission.sink->OnEvent(ImageOf(1 << 20));
  EXPECT_TRUE(engine_.AwaitCancelled(1));
  ReadAll(stream);
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::CANCELLED);
}

TEST_F(GenerationServiceTest, AStreamHoldsNoMoreThanItsBytes) {
  ServerOptions options = DefaultOptions();
  options.max_stream_bytes = 8 << 20;
  StartServing(options);
  grpc::ClientContext context;
  const Stream stream = stub_->Generate(&context, BagRequest());
  const auto submission = engine_.AwaitSubmission();
  for (int i = 0; i < 40; ++i) submission.sink->OnEvent(ImageOf(1 << 20));
  EXPECT_TRUE(engine_.AwaitCancelled(1));
}

TEST_F(GenerationServiceTest, AMessageOverTheLimitIsRefused) {
  StartServing();
  v1::GenerateRequest request = BagRequest();
  request.set_model(std::string(kMaxRequestBytes, 'x'));
  const grpc::Status status = StatusOf(request);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_FALSE(DetailOf<google::rpc::RetryInfo>(status).has_value());
}

TEST_F(GenerationServiceTest, AHugePromptIsRefusedByTheLimitOfItsField) {
  StartServing();
  v1::GenerateRequest request;
  request.set_model("pixart");
  request.mutable_text_prompt()->set_prompt(std::string(500'000, 'x'));
  const grpc::Status status = StatusOf(request);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("must have at most 4096 bytes, has 500000"));
}

}  // namespace
}  // namespace ilf
