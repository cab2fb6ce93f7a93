#include "engine/runtime/request_table.h"

#include <utility>

namespace ilf {

void RequestTable::Add(std::shared_ptr<RunningRequest> request) {
  absl::MutexLock lock(&mutex_);
  const RequestHandle handle = request->handle();
  requests_.emplace(handle, std::move(request));
}

void RequestTable::Remove(RequestHandle handle) {
  std::shared_ptr<RunningRequest> last;  // destroyed after the lock
  absl::MutexLock lock(&mutex_);
  const auto found = requests_.find(handle);
  if (found == requests_.end()) return;
  last = std::move(found->second);
  requests_.erase(found);
}

std::shared_ptr<RunningRequest> RequestTable::Find(RequestHandle handle) const {
  absl::MutexLock lock(&mutex_);
  const auto found = requests_.find(handle);
  return found == requests_.end() ? nullptr : found->second;
}

std::vector<std::shared_ptr<RunningRequest>> RequestTable::All() const {
  absl::MutexLock lock(&mutex_);
  std::vector<std::shared_ptr<RunningRequest>> all;
  all.reserve(requests_.size());
  for (const auto& [handle, request] : requests_) all.push_back(request);
  return all;
}

bool RequestTable::AwaitEmpty(absl::Duration timeout) const {
  const auto empty = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return requests_.empty(); };
  absl::MutexLock lock(&mutex_);
  return mutex_.AwaitWithTimeout(absl::Condition(&empty), timeout);
}

}  // namespace ilf
