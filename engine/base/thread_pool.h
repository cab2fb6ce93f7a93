// A fixed number of threads that run scheduled tasks in the order of their arrival.
#pragma once

#include <deque>
#include <functional>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "engine/base/executor.h"

namespace ilf {

// Thread-safe. The destructor runs every task that was scheduled, then joins the threads.
class ThreadPool final : public Executor {
 public:
  // `thread_start`, when set, runs first on every thread (to set its number of math threads, say).
  explicit ThreadPool(int threads, std::function<void()> thread_start = {});
  ~ThreadPool() override;
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  void Schedule(absl::AnyInvocable<void() &&> task) override;

 private:
  void Run();

  const std::function<void()> thread_start_;
  absl::Mutex mutex_;
  std::deque<absl::AnyInvocable<void() &&>> tasks_ ABSL_GUARDED_BY(mutex_);
  bool closing_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_;
};

}  // namespace ilf
