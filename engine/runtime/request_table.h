// The requests that have been taken and have not ended.
#pragma once

#include <memory>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "engine/runtime/running_request.h"

namespace ilf {

// Thread-safe. Calls no method of a request.
class RequestTable {
 public:
  void Add(std::shared_ptr<RunningRequest> request);
  void Remove(RequestHandle handle);

  // Null if there is no such request.
  std::shared_ptr<RunningRequest> Find(RequestHandle handle) const;
  std::vector<std::shared_ptr<RunningRequest>> All() const;

  // Waits until the table is empty, no longer than `timeout` of real time. True if it is empty.
  bool AwaitEmpty(absl::Duration timeout) const;

 private:
  mutable absl::Mutex mutex_;
  absl::flat_hash_map<RequestHandle, std::shared_ptr<RunningRequest>> requests_
      ABSL_GUARDED_BY(mutex_);
};

}  // namespace ilf
