#include "tests/testing/manual_executor.h"

#include <utility>

namespace ilf {

void ManualExecutor::Schedule(absl::AnyInvocable<void() &&> task) {
  absl::MutexLock lock(&mutex_);
  tasks_.push_back(std::move(task));
}

int ManualExecutor::pending() const {
  absl::MutexLock lock(&mutex_);
  return static_cast<int>(tasks_.size());
}

bool ManualExecutor::RunOne() {
  absl::AnyInvocable<void() &&> task;
  {
    absl::MutexLock lock(&mutex_);
    if (tasks_.empty()) return false;
    task = std::move(tasks_.front());
    tasks_.pop_front();
  }
  std::move(task)();
  return true;
}

void ManualExecutor::RunAll() {
  while (RunOne()) {
  }
}

}  // namespace ilf
