// How images get through the engine: order of events, batches, sharing, cancellation.
#include <string>
#include <variant>
#include <vector>

#include "tests/runtime/engine_fixture.h"

namespace ilf {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

TEST_F(EngineTest, ARequestGetsItsEventsInOrder) {
  Build({});
  GenerationRequest wanted = TestRequest("a", /*steps=*/2);
  wanted.seed = 41;
  wanted.guidance_scale = 3.0;
  const Submitted a = Submit(wanted);
  RunUntilIdle();

  const std::vector<Event> events = a.sink->events();
  ASSERT_THAT(events, SizeIs(6));
  EXPECT_TRUE(std::holds_alternative<QueuedEvent>(events[0]));
  EXPECT_TRUE(std::holds_alternative<StartedEvent>(events[1]));
  EXPECT_EQ(std::get<StepEvent>(events[2]).step, 1);
  EXPECT_EQ(std::get<StepEvent>(events[3]).step, 2);
  EXPECT_EQ(std::get<StepEvent>(events[3]).steps, 2);
  const ImageEvent& image = std::get<ImageEvent>(events[4]);
  EXPECT_EQ(image.image.bytes, "a/0@2");
  EXPECT_EQ(image.seed, 41u);
  EXPECT_EQ(image.steps, 2);
  EXPECT_EQ(image.block_evaluations, 28 * 2 * 2);
  EXPECT_EQ(std::get<CompletedEvent>(events[5]).images, 1);
  EXPECT_TRUE(a.sink->status().ok());
}

TEST_F(EngineTest, TimingsAreThoseOfTheClock) {
  Build({}, {{.begin = {},
              .run =
                  [this](const FakeBatch&) {
                    clock_.Advance(absl::Seconds(2));
                    return absl::OkStatus();
                  },
              .take_preview = {},
              .encode_preview = {},
              .finish =
                  [this](const std::string&) {
                    clock_.Advance(absl::Seconds(3));
                    return absl::OkStatus();
                  }}});
  const Submitted a = Submit(TestRequest("a", /*steps=*/4));
  clock_.Advance(absl::Seconds(1));
  RunUntilIdle();
  const ImageTimings timings = a.sink->EventsOf<ImageEvent>().at(0).timings;
  EXPECT_EQ(timings.queue, absl::Seconds(1));
  EXPECT_EQ(timings.denoise, absl::Seconds(8));
  EXPECT_EQ(timings.decode, absl::Seconds(3));
  EXPECT_EQ(a.sink->EventsOf<CompletedEvent>().at(0).total, absl::Seconds(12));
  EXPECT_THAT(record().queue_waits, ElementsAre(absl::Seconds(1)));
  EXPECT_EQ(record().steps.at(0).duration, absl::Seconds(2));
  EXPECT_EQ(record().busy[0], absl::Seconds(8));
}

TEST_F(EngineTest, MemoryIsReportedAtTheStartAndThenOnceAnInterval) {
  EngineOptions options;
  options.worker.memory_report_interval = absl::Seconds(10);
  Build(options, {{.begin = {},
                   .run =
                       [this](const FakeBatch&) {
                         clock_.Advance(absl::Seconds(4));
                         return absl::OkStatus();
                       },
                   .take_preview = {},
                   .encode_preview = {},
                   .finish = {}}});
  RunUntilIdle();
  Submit(TestRequest("a", /*steps=*/6));
  RunUntilIdle();

  std::vector<int64_t> batches_then;
  for (const DeviceMemory& memory : record().memory) {
    EXPECT_EQ(memory.device, "fake:0");
    EXPECT_EQ(memory.limit_bytes, 1000);
    batches_then.push_back(memory.used_bytes);
  }
  EXPECT_THAT(batches_then, ElementsAre(0, 3, 6));
}

TEST_F(EngineTest, ImagesOfOneRequestHaveConsecutiveSeeds) {
  Build({});
  GenerationRequest wanted = TestRequest("a", 1, 3);
  wanted.seed = ~uint64_t{0};
  const Submitted a = Submit(wanted);
  RunUntilIdle();
  std::vector<uint64_t> seeds;
  for (const ImageEvent& image : a.sink->EventsOf<ImageEvent>()) seeds.push_back(image.seed);
  EXPECT_THAT(seeds, UnorderedElementsAre(~uint64_t{0}, 0, 1));
}

TEST_F(EngineTest, RequestsAtDifferentStepsShareABatchAndJoinAndLeaveBetweenSteps) {
  Build({});
  Submit(TestRequest("a", /*steps=*/3));
  engine_->RunOnce(0);
  GenerationRequest guided = TestRequest("b", /*steps=*/3);
  guided.guidance_scale = 4.0;
  Submit(guided);
  RunUntilIdle();
  EXPECT_THAT(runners_[0]->batches(), ElementsAre(ElementsAre("a/0"), ElementsAre("a/0", "b/0"),
                                                  ElementsAre("a/0", "b/0"), ElementsAre("b/0")));
  const std::vector<StepReport> steps = record().steps;
  EXPECT_EQ(steps[1].images, 2);
  EXPECT_EQ(steps[1].rows, 3);
  EXPECT_EQ(steps[1].model, "fake");
}

TEST_F(EngineTest, ImagesOfDifferentSizesShareABatch) {
  Build({});
  const Submitted small = Submit(TestRequest("s", /*steps=*/2));
  GenerationRequest wanted = TestRequest("l", /*steps=*/2);
  wanted.width = wanted.height = 128;
  const Submitted large = Submit(wanted);
  RunUntilIdle();
  EXPECT_THAT(runners_[0]->batches(),
              ElementsAre(ElementsAre("s/0", "l/0"), ElementsAre("s/0", "l/0")));
  EXPECT_EQ(record().steps[0].rows, 2);
  EXPECT_EQ(record().steps[0].tokens, 16 + 64);
  EXPECT_TRUE(small.sink->status().ok());
  EXPECT_TRUE(large.sink->status().ok());
}

TEST_F(EngineTest, ImagesTogetherTooLargeForAPassTakeTurns) {
  EngineOptions options;
  options.batching.max_batch_tokens = 64;
  Build(options);
  Submit(TestRequest("s", /*steps=*/1));
  GenerationRequest large = TestRequest("l", /*steps=*/1);
  large.width = large.height = 128;
  Submit(large);
  Submit(TestRequest("t", /*steps=*/1));
  RunUntilIdle();
  EXPECT_THAT(runners_[0]->batches(), ElementsAre(ElementsAre("s/0", "t/0"), ElementsAre("l/0")));
}

TEST_F(EngineTest, ImagesOfDifferentModelsTakeTurns) {
  Build({});
  Submit(TestRequest("a", /*steps=*/2));
  GenerationRequest other = TestRequest("b", /*steps=*/2);
  other.model = "other";
  Submit(other);
  RunUntilIdle();
  EXPECT_THAT(runners_[0]->batches(), ElementsAre(ElementsAre("a/0"), ElementsAre("b/0"),
                                                  ElementsAre("a/0"), ElementsAre("b/0")));
}

TEST_F(EngineTest, AHighPriorityIsTakenUpFirst) {
  EngineOptions options;
  options.worker.max_active_images = 1;
  Build(options);
  Submit(TestRequest("first", 1));
  GenerationRequest low = TestRequest("low", 1);
  low.priority = Priority::kLow;
  Submit(low);
  Submit(TestRequest("normal", 1));
  GenerationRequest high = TestRequest("high", 1);
  high.priority = Priority::kHigh;
  Submit(high);
  RunUntilIdle();
  EXPECT_THAT(runners_[0]->batches(), ElementsAre(ElementsAre("high/0"), ElementsAre("first/0"),
                                                  ElementsAre("normal/0"), ElementsAre("low/0")));
}

TEST_F(EngineTest, AFullQueueRefusesTheWholeRequestUntilAWorkerTakesUpImages) {
  EngineOptions options;
  options.admission.max_images = 4;
  Build(options);
  Submit(TestRequest("a", 4, 3));
  EXPECT_EQ(Refusal(TestRequest("b", 4, 2)), absl::StatusCode::kResourceExhausted);
  EXPECT_GT(engine_->RetryDelay(), absl::ZeroDuration());
  engine_->RunOnce(0);
  Submit(TestRequest("c", 4, 2));
  EXPECT_EQ(record().requests[absl::StatusCode::kResourceExhausted], 1);
  EXPECT_EQ(record().max_queue_length, 3);
}

TEST_F(EngineTest, TellsThePositionInTheQueue) {
  Build({});
  Submit(TestRequest("a", 4, 3));
  const Submitted b = Submit(TestRequest("b"));
  EXPECT_EQ(b.sink->EventsOf<QueuedEvent>().at(0).images_ahead, 3);
}

TEST_F(EngineTest, TwoWorkersShareTheLoad) {
  Build({}, {{}, {}});
  const Submitted a = Submit(TestRequest("a", 2, 4));
  RunUntilIdle();
  EXPECT_TRUE(a.sink->status().ok());
  EXPECT_THAT(runners_[0]->batches(), ElementsAre(SizeIs(2), SizeIs(2)));
  EXPECT_THAT(runners_[1]->batches(), ElementsAre(SizeIs(2), SizeIs(2)));
}

TEST_F(EngineTest, ACancelledRequestIsGoneBeforeTheNextStep) {
  Build({});
  const Submitted a = Submit(TestRequest("a", 4, 2));
  const Submitted b = Submit(TestRequest("b", 2));
  engine_->RunOnce(0);
  engine_->Cancel(a.handle, absl::CancelledError());
  EXPECT_EQ(a.sink->status().code(), absl::StatusCode::kCancelled);
  RunUntilIdle();
  EXPECT_THAT(runners_[0]->batches(),
              ElementsAre(ElementsAre("a/0", "a/1", "b/0"), ElementsAre("b/0")));
  EXPECT_TRUE(b.sink->status().ok());
  EXPECT_EQ(record().active_images[0], 0);
}

TEST_F(EngineTest, ACancelledRequestLeavesTheQueue) {
  EngineOptions options;
  options.admission.max_images = 2;
  Build(options);
  const Submitted a = Submit(TestRequest("a", 4, 2));
  engine_->Cancel(a.handle, absl::CancelledError());
  EXPECT_EQ(record().queue_length, 0);
  Submit(TestRequest("b", 1, 2));
  RunUntilIdle();
  EXPECT_THAT(runners_[0]->batches(), ElementsAre(ElementsAre("b/0", "b/1")));
}

TEST_F(EngineTest, ARequestCancelledWhileItIsTakenUpNeverSteps) {
  Submitted a;
  Build({}, {{.begin =
                  [&](const std::string&) {
                    engine_->Cancel(a.handle, absl::CancelledError());
                    return absl::OkStatus();
                  },
              .run = {},
              .take_preview = {},
              .encode_preview = {},
              .finish = {}}});
  a = Submit(TestRequest("a", 4, 2));
  RunUntilIdle();
  EXPECT_THAT(runners_[0]->batches(), IsEmpty());
  EXPECT_EQ(record().active_images[0], 0);
}

TEST_F(EngineTest, ARequestCancelledBeforeItsDecodeIsNotDecoded) {
  int decodes = 0;
  Build({}, {{.begin = {},
              .run = {},
              .take_preview = {},
              .encode_preview = {},
              .finish = [&](const std::string&) {
                ++decodes;
                return absl::OkStatus();
              }}});
  const Submitted a = Submit(TestRequest("a", 1));
  engine_->RunOnce(0);
  ASSERT_EQ(executor_->pending(), 1);
  engine_->Cancel(a.handle, absl::CancelledError());
  executor_->RunAll();
  EXPECT_EQ(decodes, 0);
}

TEST_F(EngineTest, CancellingWhatIsOverOrUnknownHasNoEffect) {
  Build({});
  const Submitted a = Submit(TestRequest("a", 1));
  RunUntilIdle();
  engine_->Cancel(a.handle, absl::CancelledError());
  engine_->Cancel(a.handle + 1000, absl::CancelledError());
  EXPECT_TRUE(a.sink->status().ok());
}

TEST_F(EngineTest, AWorkerTakesUpNothingWhileTooManyImagesAwaitTheirDecode) {
  EngineOptions options;
  options.worker.max_finishing_images = 2;
  Build(options);
  Submit(TestRequest("a", 1, 2));
  engine_->RunOnce(0);
  Submit(TestRequest("b", 1));
  EXPECT_FALSE(engine_->RunOnce(0));
  executor_->RunOne();
  EXPECT_TRUE(engine_->RunOnce(0));
  EXPECT_THAT(runners_[0]->batches().back(), ElementsAre("b/0"));
}

TEST_F(EngineTest, RunningImagesDoNotWaitForManyNewOnesToBegin) {
  EngineOptions options;
  options.worker.max_begin_time = absl::Milliseconds(100);
  Build(options, {{.begin =
                       [this](const std::string&) {
                         clock_.Advance(absl::Milliseconds(60));
                         return absl::OkStatus();
                       },
                   .run = {},
                   .take_preview = {},
                   .encode_preview = {},
                   .finish = {}}});
  Submit(TestRequest("a", 4));
  engine_->RunOnce(0);
  Submit(TestRequest("b", 4, 4));
  engine_->RunOnce(0);
  EXPECT_THAT(runners_[0]->batches().back(), ElementsAre("a/0", "b/0", "b/1"));
}

TEST_F(EngineTest, TheObserverSeesWhatHappened) {
  Build({});
  Submit(TestRequest("a", 3, 2));
  EXPECT_EQ(record().queue_length, 2);
  RunUntilIdle();
  const RecordingObserver::Record seen = record();
  EXPECT_EQ(seen.requests.at(absl::StatusCode::kOk), 1);
  EXPECT_EQ(seen.queue_length, 0);
  EXPECT_THAT(seen.queue_waits, SizeIs(2));
  EXPECT_EQ(seen.active_images.at(0), 0);
  EXPECT_THAT(seen.steps, SizeIs(3));
  EXPECT_EQ(seen.images_done, 2);
  EXPECT_EQ(seen.block_evaluations, 2 * 3 * 28);
}

}  // namespace
}  // namespace ilf
