#include "server/event_buffer.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ilf {
namespace {

using testing::ElementsAre;

constexpr EventBufferOptions kOptions = {.max_bytes = 1000, .max_chunk_bytes = 100};

PreviewEvent Preview(int image, int step, size_t bytes = 10) {
  return {image, step, 20, {ImageFormat::kPng, 8, 8, std::string(bytes, 'p')}};
}

ImageEvent Image(int image, size_t bytes) {
  ImageEvent event;
  event.image_index = image;
  event.image = {ImageFormat::kPng, 8, 8, std::string(bytes, 'i')};
  return event;
}

// "step 0:3" for step 3 of image 0, and so on.
std::string Describe(const v1::GenerateResponse& response) {
  const auto text = [](const char* kind, int image, int64_t number) {
    return std::string(kind) + " " + std::to_string(image) + ":" + std::to_string(number);
  };
  switch (response.event_case()) {
    case v1::GenerateResponse::kStep:
      return text("step", response.step().image_index(), response.step().step());
    case v1::GenerateResponse::kPreview:
      return text("preview", response.preview().image_index(), response.preview().step());
    case v1::GenerateResponse::kImage:
      return text("image", response.image().image_index(), response.image().chunk_offset());
    case v1::GenerateResponse::kQueued:
      return "queued";
    case v1::GenerateResponse::kStarted:
      return "started";
    case v1::GenerateResponse::kCompleted:
      return "completed";
    case v1::GenerateResponse::EVENT_NOT_SET:
      return "nothing";
  }
  return "unknown";
}

std::vector<std::string> PopAll(EventBuffer* buffer) {
  std::vector<std::string> events;
  while (auto response = buffer->Pop()) events.push_back(Describe(*response));
  return events;
}

void PushAll(EventBuffer* buffer, std::vector<Event> events) {
  for (Event& event : events) EXPECT_TRUE(buffer->Push(std::move(event)).ok());
}

TEST(EventBufferTest, KeepsTheOrderForAFastReader) {
  EventBuffer buffer("id", "model", kOptions);
  std::vector<std::string> read;
  for (Event event :
       std::vector<Event>{QueuedEvent{}, StartedEvent{}, StepEvent{0, 1, 2}, Preview(0, 1),
                          StepEvent{0, 2, 2}, Image(0, 10), CompletedEvent{}}) {
    EXPECT_TRUE(buffer.Push(event).ok());
    for (std::string& text : PopAll(&buffer)) read.push_back(std::move(text));
  }
  EXPECT_THAT(read, ElementsAre("queued", "started", "step 0:1", "preview 0:1", "step 0:2",
                                "image 0:0", "completed"));
  EXPECT_EQ(buffer.TakeDroppedPreviews(), 0);
}

TEST(EventBufferTest, GivesASlowReaderTheNewestStepAndPreviewOfEachImage) {
  EventBuffer buffer("id", "model", kOptions);
  PushAll(&buffer, {QueuedEvent{}, StepEvent{0, 1, 20}, Preview(0, 1), StepEvent{1, 1, 20},
                    Preview(1, 1), StepEvent{0, 2, 20}, Preview(0, 2), StepEvent{0, 3, 20}});
  EXPECT_THAT(PopAll(&buffer),
              ElementsAre("queued", "step 0:3", "preview 0:2", "step 1:1", "preview 1:1"));
  EXPECT_EQ(buffer.TakeDroppedPreviews(), 1);
  EXPECT_EQ(buffer.TakeDroppedPreviews(), 0);
}

TEST(EventBufferTest, StarvesNoImageWhenEveryImageIsFasterThanTheReader) {
  EventBuffer buffer("id", "model", kOptions);
  std::vector<std::string> read;
  for (int step = 1; step <= 4; ++step) {
    PushAll(&buffer, {Preview(0, step), Preview(1, step)});
    read.push_back(Describe(*buffer.Pop()));
  }
  EXPECT_THAT(read, ElementsAre("preview 0:1", "preview 1:2", "preview 0:3", "preview 1:4"));
}

TEST(EventBufferTest, NeverDropsImages) {
  EventBuffer buffer("id", "model", kOptions);
  PushAll(&buffer, {Image(0, 10), Image(1, 10), Image(0, 10), CompletedEvent{}});
  EXPECT_THAT(PopAll(&buffer), ElementsAre("image 0:0", "image 1:0", "image 0:0", "completed"));
}

TEST(EventBufferTest, KeepsTheChunksOfAnImageTogether) {
  EventBuffer buffer("id", "model", kOptions);
  PushAll(&buffer, {Preview(1, 1), Image(0, 250), Preview(1, 2), StepEvent{1, 3, 20}});
  EXPECT_THAT(PopAll(&buffer),
              ElementsAre("preview 1:2", "image 0:0", "image 0:100", "image 0:200", "step 1:3"));
}

TEST(EventBufferTest, CountsTheBytesThatItHolds) {
  EventBuffer buffer("id", "model", kOptions);
  PushAll(&buffer, {Preview(0, 1, 30), Preview(0, 2, 20), Image(1, 250)});
  EXPECT_EQ(buffer.bytes(), 270);
  buffer.Pop();
  EXPECT_EQ(buffer.bytes(), 250);
  buffer.Pop();
  EXPECT_EQ(buffer.bytes(), 150);
  buffer.Clear();
  EXPECT_EQ(buffer.bytes(), 0);
  EXPECT_TRUE(buffer.empty());
}

TEST(EventBufferTest, RefusesAnImageBeyondItsBytesAndHoldsNoMore) {
  EventBuffer buffer("id", "model", kOptions);
  PushAll(&buffer, {Image(0, 600)});
  EXPECT_EQ(buffer.Push(Image(1, 401)).code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(buffer.bytes(), 600);
  EXPECT_TRUE(buffer.Push(Image(1, 400)).ok());
  EXPECT_EQ(buffer.bytes(), 1000);
}

TEST(EventBufferTest, DropsAPreviewBeyondItsBytesAndKeepsTheOlderOne) {
  EventBuffer buffer("id", "model", kOptions);
  PushAll(&buffer, {Image(0, 900), Preview(1, 1, 60), Preview(1, 2, 101), Preview(2, 1, 50)});
  EXPECT_EQ(buffer.TakeDroppedPreviews(), 2);
  EXPECT_EQ(buffer.bytes(), 960);
  EXPECT_EQ(PopAll(&buffer).back(), "preview 1:1");
}

}  // namespace
}  // namespace ilf
