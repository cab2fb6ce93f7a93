// Many threads at once. The sinks check the order of their calls; the thread sanitizer checks the
// rest.
#include <atomic>
#include <map>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/base/thread_pool.h"
#include "engine/runtime/pool_engine.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/fake_step_runner.h"
#include "tests/testing/recording_observer.h"
#include "tests/testing/recording_sink.h"
#include "tests/testing/test_request.h"

namespace ilf {
namespace {

// Fails one call in a hundred, now by a Status, now by an exception, now for want of memory.
class Misfortune {
 public:
  explicit Misfortune(uint32_t seed) : random_(seed) {}

  absl::Status Strike() {
    switch (Draw() % 300) {
      case 0:
        return absl::InternalError("misfortune");
      case 1:
        throw std::runtime_error("misfortune");
      case 2:
        return absl::ResourceExhaustedError("no memory");
      default:
        return absl::OkStatus();
    }
  }

 private:
  uint32_t Draw() {
    absl::MutexLock lock(&mutex_);
    return random_();
  }

  absl::Mutex mutex_;
  std::mt19937 random_ ABSL_GUARDED_BY(mutex_);
};

std::unique_ptr<Engine> MakeUnluckyEngine(int workers, Misfortune* misfortune, Observer* observer) {
  FakeStepRunner::Hooks hooks;
  hooks.begin = hooks.take_preview =
      hooks.finish = [=](const std::string&) { return misfortune->Strike(); };
  hooks.run = [=](const FakeBatch&) { return misfortune->Strike(); };
  hooks.encode_preview = [=] { return misfortune->Strike(); };
  EngineParts parts;
  for (int i = 0; i < workers; ++i) {
    parts.runners.push_back(std::make_unique<FakeStepRunner>(hooks));
  }
  parts.executor = std::make_unique<ThreadPool>(2);
  parts.clock = SystemClock();
  parts.observer = observer;
  EngineOptions options;
  options.admission.max_images = 24;
  options.worker.max_active_images = 6;
  options.worker.max_finishing_images = 6;
  options.batching.max_batch_rows = 8;
  options.batching.max_batch_tokens = 150;
  options.failure_rest = absl::ZeroDuration();  // bad luck is no bad device
  return MakeEngine(options, std::move(parts));
}

GenerationRequest RandomRequest(std::string id, std::mt19937& random) {
  GenerationRequest request = TestRequest(std::move(id), 1 + random() % 8, 1 + random() % 4);
  if (random() % 2 == 0) request.width = 128;
  if (random() % 4 == 0) request.model = "other";
  if (random() % 2 == 0) request.guidance_scale = 3.0;
  if (random() % 2 == 0) request.preview = PreviewOptions{};
  request.priority = static_cast<Priority>(random() % 3);
  if (random() % 8 == 0) request.deadline = absl::Now() + absl::Microseconds(random() % 2000);
  return request;
}

struct Outcome {
  GenerationRequest request;
  std::shared_ptr<RecordingSink> sink;
};

// Submits 150 requests, and cancels one in four while it waits or runs. Returns those that were
// taken.
std::vector<Outcome> Client(Engine& engine, uint32_t seed, std::atomic<int>& refused) {
  std::mt19937 random(seed);
  std::vector<Outcome> taken;
  for (int i = 0; i < 150; ++i) {
    Outcome outcome{RandomRequest(absl::StrCat(seed, "-", i), random),
                    std::make_shared<RecordingSink>()};
    const absl::StatusOr<RequestHandle> handle = engine.Submit(outcome.request, outcome.sink);
    if (!handle.ok()) {
      ++refused;
      EXPECT_TRUE(outcome.sink->events().empty() && !outcome.sink->done());
      continue;
    }
    if (random() % 4 == 0) {
      if (random() % 2 == 0) std::this_thread::yield();
      engine.Cancel(*handle, absl::CancelledError());
    } else if (random() % 4 == 0) {
      EXPECT_TRUE(outcome.sink->AwaitDone());
    }
    taken.push_back(std::move(outcome));
  }
  return taken;
}

void ExpectWholeIfOk(const Outcome& outcome) {
  ASSERT_TRUE(outcome.sink->done());
  const std::vector<Event> events = outcome.sink->events();
  ASSERT_FALSE(events.empty());
  EXPECT_TRUE(std::holds_alternative<QueuedEvent>(events.front()));
  if (!outcome.sink->status().ok()) return;
  const GenerationRequest& request = outcome.request;
  EXPECT_TRUE(std::holds_alternative<CompletedEvent>(events.back()));
  std::map<int, int> last_step;
  std::map<int, int> last_preview;
  std::map<int, int> images;
  for (const Event& event : events) {
    if (const auto* step = std::get_if<StepEvent>(&event)) {
      EXPECT_EQ(step->step, ++last_step[step->image_index]);
    } else if (const auto* preview = std::get_if<PreviewEvent>(&event)) {
      EXPECT_GT(preview->step, last_preview[preview->image_index]);
      last_preview[preview->image_index] = preview->step;
      EXPECT_EQ(images[preview->image_index], 0) << "a preview after its image";
    } else if (const auto* image = std::get_if<ImageEvent>(&event)) {
      EXPECT_EQ(++images[image->image_index], 1);
      EXPECT_EQ(image->image.bytes,
                absl::StrCat(request.request_id, "/", image->image_index, "@", request.steps));
    }
  }
  for (int i = 0; i < request.image_count; ++i) {
    EXPECT_EQ(last_step[i], request.steps);
    EXPECT_EQ(images[i], 1);
  }
}

TEST(EngineStressTest, EveryTakenRequestEndsExactlyOnce) {
  constexpr int kClients = 4;
  RecordingObserver observer;
  Misfortune misfortune(1);
  std::atomic<int> refused = 0;
  std::vector<std::vector<Outcome>> outcomes(kClients);
  {
    const auto engine = MakeUnluckyEngine(3, &misfortune, &observer);
    std::vector<std::thread> clients;
    for (int i = 0; i < kClients; ++i) {
      clients.emplace_back([&, i] { outcomes[i] = Client(*engine, i + 1, refused); });
    }
    for (std::thread& client : clients) client.join();
    engine->Drain(absl::InfiniteFuture());
    EXPECT_TRUE(engine->Healthy());
  }

  int succeeded = 0;
  int taken = 0;
  for (const std::vector<Outcome>& of_client : outcomes) {
    for (const Outcome& outcome : of_client) {
      ExpectWholeIfOk(outcome);
      ++taken;
      succeeded += outcome.sink->status().ok();
      EXPECT_EQ(outcome.sink.use_count(), 1);
    }
  }
  EXPECT_GT(succeeded, 0);
  const RecordingObserver::Record record = observer.record();
  EXPECT_EQ(record.queue_length, 0);
  for (const auto& [worker, images] : record.active_images) EXPECT_EQ(images, 0);
  int ended = 0;
  for (const auto& [code, count] : record.requests) ended += count;
  EXPECT_EQ(ended, taken + refused);
  EXPECT_EQ(record.requests.at(absl::StatusCode::kOk), succeeded);
}

TEST(EngineStressTest, DestructionUnderLoadEndsEveryRequest) {
  for (uint32_t round = 0; round < 20; ++round) {
    RecordingObserver observer;
    Misfortune misfortune(round);
    std::mt19937 random(round);
    std::vector<std::shared_ptr<RecordingSink>> sinks;
    {
      const auto engine = MakeUnluckyEngine(2, &misfortune, &observer);
      for (int i = 0; i < 8; ++i) {
        auto sink = std::make_shared<RecordingSink>();
        if (engine->Submit(RandomRequest(absl::StrCat(i), random), sink).ok()) {
          sinks.push_back(std::move(sink));
        }
      }
    }
    for (const auto& sink : sinks) EXPECT_TRUE(sink->done());
  }
}

TEST(EngineStressTest, EveryWorkerPreparesItsThreadOnce) {
  RecordingObserver observer;
  std::vector<FakeStepRunner*> runners;
  EngineParts parts;
  for (int i = 0; i < 2; ++i) {
    auto runner = std::make_unique<FakeStepRunner>();
    runners.push_back(runner.get());
    parts.runners.push_back(std::move(runner));
  }
  parts.executor = std::make_unique<ThreadPool>(1);
  parts.clock = SystemClock();
  parts.observer = &observer;
  const auto engine = MakeEngine({}, std::move(parts));
  const auto sink = std::make_shared<RecordingSink>();
  ASSERT_TRUE(engine->Submit(TestRequest("a", 4, 8), sink).ok());
  ASSERT_TRUE(sink->AwaitDone());
  for (const FakeStepRunner* runner : runners) {
    EXPECT_TRUE(runner->batches().empty() || runner->threads_prepared() == 1);
  }
  EXPECT_TRUE(sink->status().ok());
}

}  // namespace
}  // namespace ilf
