#include "engine/base/thread_pool.h"

#include <atomic>
#include <memory>
#include <vector>

#include "absl/synchronization/notification.h"
#include "gtest/gtest.h"

namespace ilf {
namespace {

TEST(ThreadPoolTest, OneThreadKeepsTheOrderOfArrival) {
  std::vector<int> order;
  {
    ThreadPool pool(1);
    for (int i = 0; i < 100; ++i) pool.Schedule([&order, i] { order.push_back(i); });
  }
  ASSERT_EQ(order.size(), 100u);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(order[i], i);
}

TEST(ThreadPoolTest, TasksRunAtTheSameTimeOnSeveralThreads) {
  absl::Notification first_runs;
  absl::Notification second_runs;
  ThreadPool pool(2);
  pool.Schedule([&] {
    first_runs.Notify();
    second_runs.WaitForNotification();
  });
  pool.Schedule([&] {
    second_runs.Notify();
    first_runs.WaitForNotification();
  });
  first_runs.WaitForNotification();
  second_runs.WaitForNotification();
}

TEST(ThreadPoolTest, DestructorRunsWhatIsScheduled) {
  std::atomic<int> ran = 0;
  {
    absl::Notification go;
    ThreadPool pool(1);
    pool.Schedule([&go] { go.WaitForNotification(); });
    for (int i = 0; i < 10; ++i) pool.Schedule([&ran] { ++ran; });
    go.Notify();
  }
  EXPECT_EQ(ran, 10);
}

TEST(ThreadPoolTest, ThreadStartRunsFirstOnEveryThread) {
  std::atomic<int> started = 0;
  {
    ThreadPool pool(3, [&started] { ++started; });
  }
  EXPECT_EQ(started, 3);
}

TEST(ThreadPoolTest, TakesTasksThatCanOnlyBeMoved) {
  auto value = std::make_unique<int>(5);
  std::atomic<int> seen = 0;
  {
    ThreadPool pool(1);
    pool.Schedule([&seen, value = std::move(value)] { seen = *value; });
  }
  EXPECT_EQ(seen, 5);
}

}  // namespace
}  // namespace ilf
