#include "server/conversion.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/duration_conversion.h"
#include "tests/server/test_models.h"

namespace ilf {
namespace {

const RequestNames kNames = {"id", "dit"};

v1::GenerateResponse OnlyResponse(Event event) {
  auto responses = ToResponses(std::move(event), kNames, 1000);
  EXPECT_EQ(responses.size(), 1u);
  return responses.front();
}

ImageEvent PictureOf(std::string bytes) {
  ImageEvent event;
  event.image_index = 3;
  event.seed = ~uint64_t{0};
  event.steps = 20;
  event.block_evaluations = 1000;
  event.plain_block_evaluations = 1120;
  event.timings = {absl::Seconds(1), absl::Milliseconds(1500), absl::Nanoseconds(7)};
  event.image = {ImageFormat::kJpeg, 64, 32, std::move(bytes)};
  return event;
}

TEST(ToResponsesTest, QueuedNamesRequestAndModel) {
  const auto response = OnlyResponse(QueuedEvent{4, absl::Milliseconds(2500)});
  EXPECT_EQ(response.queued().request_id(), "id");
  EXPECT_EQ(response.queued().model(), "dit");
  EXPECT_EQ(response.queued().images_ahead(), 4);
  EXPECT_EQ(response.queued().estimated_wait().seconds(), 2);
  EXPECT_EQ(response.queued().estimated_wait().nanos(), 500'000'000);
}

TEST(ToResponsesTest, StartedStepAndCompletedKeepTheirNumbers) {
  EXPECT_EQ(OnlyResponse(StartedEvent{absl::Seconds(3)}).started().queue_wait().seconds(), 3);
  const auto step = OnlyResponse(StepEvent{1, 5, 20}).step();
  EXPECT_EQ(step.image_index(), 1);
  EXPECT_EQ(step.step(), 5);
  EXPECT_EQ(step.steps(), 20);
  const auto completed = OnlyResponse(CompletedEvent{2, absl::Seconds(9)}).completed();
  EXPECT_EQ(completed.image_count(), 2);
  EXPECT_EQ(completed.total().seconds(), 9);
}

TEST(ToResponsesTest, PreviewKeepsItsPicture) {
  const auto preview =
      OnlyResponse(PreviewEvent{2, 6, 20, {ImageFormat::kPng, 8, 4, "picture"}}).preview();
  EXPECT_EQ(preview.image_index(), 2);
  EXPECT_EQ(preview.step(), 6);
  EXPECT_EQ(preview.steps(), 20);
  EXPECT_EQ(preview.format(), v1::IMAGE_FORMAT_PNG);
  EXPECT_EQ(preview.width(), 8);
  EXPECT_EQ(preview.height(), 4);
  EXPECT_EQ(preview.data(), "picture");
}

TEST(ToResponsesTest, ASmallImageIsOneWholeChunk) {
  const auto image = OnlyResponse(PictureOf("0123456789")).image();
  EXPECT_EQ(image.image_index(), 3);
  EXPECT_EQ(image.seed(), ~uint64_t{0});
  EXPECT_EQ(image.format(), v1::IMAGE_FORMAT_JPEG);
  EXPECT_EQ(image.width(), 64);
  EXPECT_EQ(image.height(), 32);
  EXPECT_EQ(image.steps(), 20);
  EXPECT_EQ(image.block_evaluations(), 1000);
  EXPECT_EQ(image.plain_block_evaluations(), 1120);
  EXPECT_EQ(image.timings().queue().seconds(), 1);
  EXPECT_EQ(image.timings().denoise().nanos(), 500'000'000);
  EXPECT_EQ(image.timings().decode().nanos(), 7);
  EXPECT_EQ(image.chunk_offset(), 0);
  EXPECT_EQ(image.total_size(), 10);
  EXPECT_TRUE(image.last_chunk());
  EXPECT_EQ(image.data(), "0123456789");
}

TEST(ToResponsesTest, ALargeImageComesInChunksThatJoinToIt) {
  const auto chunks = ToResponses(PictureOf("0123456789"), kNames, 4);
  ASSERT_EQ(chunks.size(), 3u);
  std::string joined;
  for (const auto& chunk : chunks) {
    EXPECT_EQ(chunk.image().chunk_offset(), static_cast<int64_t>(joined.size()));
    EXPECT_EQ(chunk.image().total_size(), 10);
    EXPECT_EQ(chunk.image().image_index(), 3);
    EXPECT_EQ(chunk.image().last_chunk(), &chunk == &chunks.back());
    joined += chunk.image().data();
  }
  EXPECT_EQ(joined, "0123456789");
}

TEST(ToResponsesTest, AnImageOfAWholeNumberOfChunksHasNoEmptyOne) {
  const auto chunks = ToResponses(PictureOf("01234567"), kNames, 4);
  ASSERT_EQ(chunks.size(), 2u);
  EXPECT_EQ(chunks[1].image().data(), "4567");
  EXPECT_TRUE(chunks[1].image().last_chunk());
}

TEST(ModelConversionTest, ListsEverythingThatARequestMayName) {
  const v1::Model model = ToProto(ClassModel());
  EXPECT_EQ(model.name(), "dit");
  EXPECT_EQ(model.architecture(), "DiT");
  EXPECT_EQ(model.dtype(), "float32");
  EXPECT_TRUE(model.accepts_class_label());
  EXPECT_FALSE(model.accepts_text_prompt());
  EXPECT_THAT(model.class_labels(),
              testing::ElementsAre("T-shirt/top", "Trouser, trousers", "Bag"));
  EXPECT_EQ(model.default_size().width(), 64);
  ASSERT_EQ(model.sizes_size(), 2);
  EXPECT_EQ(model.sizes(1).width(), 128);
  EXPECT_EQ(model.sizes(1).height(), 96);
  EXPECT_EQ(model.default_steps(), 20);
  EXPECT_EQ(model.max_steps(), 1000);
  EXPECT_EQ(model.default_guidance_scale(), 4.0);
  EXPECT_EQ(model.default_solver(), v1::SOLVER_DDIM);
  EXPECT_THAT(model.solvers(), testing::ElementsAre(v1::SOLVER_DDIM));
  EXPECT_EQ(model.feedback_plans_size(), 0);
  EXPECT_EQ(model.block_count(), 28);
}

TEST(ModelConversionTest, ListsTheFeedbackPlans) {
  const v1::Model model = ToProto(TextModel());
  ASSERT_EQ(model.feedback_plans_size(), 2);
  const v1::FeedbackPlan& plan = model.feedback_plans(0);
  EXPECT_EQ(plan.steps(), 10);
  EXPECT_EQ(plan.solver(), v1::SOLVER_DDIM);
  EXPECT_EQ(plan.feedback_steps(), 4);
  EXPECT_EQ(plan.block_evaluations(), 332);
  EXPECT_EQ(plan.equivalent_steps(), 20);
  EXPECT_EQ(plan.min_guidance_scale(), 2.0);
  EXPECT_EQ(plan.max_guidance_scale(), 6.0);
}

TEST(EnumConversionTest, EveryKnownValueHasAMeaningAndUnspecifiedHasNone) {
  for (int i = 0; i < v1::Solver_ARRAYSIZE; ++i) {
    EXPECT_EQ(FromProto(static_cast<v1::Solver>(i)).has_value(), i != 0) << i;
  }
  for (int i = 0; i < v1::ImageFormat_ARRAYSIZE; ++i) {
    EXPECT_EQ(FromProto(static_cast<v1::ImageFormat>(i)).has_value(), i != 0) << i;
  }
  for (int i = 0; i < v1::Priority_ARRAYSIZE; ++i) {
    EXPECT_EQ(FromProto(static_cast<v1::Priority>(i)).has_value(), i != 0) << i;
  }
}

TEST(EnumConversionTest, ToProtoAndBackIsTheSame) {
  for (Solver solver : {Solver::kDdim, Solver::kDpmSolverPp2m, Solver::kEuler}) {
    EXPECT_EQ(FromProto(ToProto(solver)), solver);
  }
  for (ImageFormat format : {ImageFormat::kPng, ImageFormat::kJpeg}) {
    EXPECT_EQ(FromProto(ToProto(format)), format);
  }
}

TEST(DurationConversionTest, KeepsSecondsAndNanosecondsOfOneSign) {
  const auto negative = ToProto(absl::Milliseconds(-1500));
  EXPECT_EQ(negative.seconds(), -1);
  EXPECT_EQ(negative.nanos(), -500'000'000);
  EXPECT_EQ(FromProto(negative), absl::Milliseconds(-1500));
}

TEST(DurationConversionTest, InfinityBecomesTheLongestDuration) {
  EXPECT_EQ(ToProto(absl::InfiniteDuration()).seconds(), 315'576'000'000);
}

}  // namespace
}  // namespace ilf
