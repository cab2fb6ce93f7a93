// The streams that run now, by request id.
#pragma once

#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "server/generate_stream.h"

namespace ilf {

// Thread-safe. Calls no stream while it holds its mutex.
class StreamRegistry {
 public:
  // False when a stream with this id runs already.
  bool Add(const std::string& request_id, std::shared_ptr<GenerateStream> stream)
      ABSL_LOCKS_EXCLUDED(mutex_);
  void Remove(const std::string& request_id) ABSL_LOCKS_EXCLUDED(mutex_);

  // Aborts every stream whose client has accepted nothing for too long; returns how many.
  int CancelStalled() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  absl::Mutex mutex_;
  absl::flat_hash_map<std::string, std::shared_ptr<GenerateStream>> streams_
      ABSL_GUARDED_BY(mutex_);
};

}  // namespace ilf
