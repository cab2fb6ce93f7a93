#include "server/stream_registry.h"

#include <utility>
#include <vector>

namespace ilf {

bool StreamRegistry::Add(const std::string& request_id, std::shared_ptr<GenerateStream> stream) {
  absl::MutexLock lock(&mutex_);
  return streams_.try_emplace(request_id, std::move(stream)).second;
}

void StreamRegistry::Remove(const std::string& request_id) {
  absl::MutexLock lock(&mutex_);
  streams_.erase(request_id);
}

int StreamRegistry::CancelStalled() {
  std::vector<std::shared_ptr<GenerateStream>> streams;
  {
    absl::MutexLock lock(&mutex_);
    streams.reserve(streams_.size());
    for (const auto& [id, stream] : streams_) streams.push_back(stream);
  }
  int stalled = 0;
  for (const auto& stream : streams) stalled += stream->CancelIfStalled() ? 1 : 0;
  return stalled;
}

}  // namespace ilf
