// An executor whose tasks run when the test says so, on the thread of the test.
#pragma once

#include <deque>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/synchronization/mutex.h"
#include "engine/base/executor.h"

namespace ilf {

// Thread-safe. What is still scheduled at the end is dropped.
class ManualExecutor final : public Executor {
 public:
  void Schedule(absl::AnyInvocable<void() &&> task) override;

  int pending() const;
  // Runs the oldest task; false if there is none.
  bool RunOne();
  // Runs tasks, and those that they schedule, until none is left.
  void RunAll();

 private:
  mutable absl::Mutex mutex_;
  std::deque<absl::AnyInvocable<void() &&>> tasks_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace ilf
