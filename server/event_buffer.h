// The responses of one stream that its client has not taken yet.
//
// A slow reader gets the newest step and the newest preview of each image: a newer one takes the
// place of an older one that still waits, so no image starves another. Images and the other events
// are never dropped. Knows no gRPC, no threads and no time.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "engine/api/generation.h"
#include "ilf/v1/image_generation.pb.h"

namespace ilf {

struct EventBufferOptions {
  int64_t max_bytes = 0;    // of encoded pictures held at once
  int max_chunk_bytes = 0;  // of one image in one response
};

// Not thread-safe.
class EventBuffer {
 public:
  EventBuffer(std::string request_id, std::string model, const EventBufferOptions& options)
      : request_id_(std::move(request_id)), model_(std::move(model)), options_(options) {}

  // RESOURCE_EXHAUSTED when an image does not fit into max_bytes: the stream cannot go on. A
  // preview that does not fit is dropped.
  absl::Status Push(Event event);

  // The next response to send, oldest first.
  std::optional<v1::GenerateResponse> Pop();

  // Drops everything that waits.
  void Clear();

  bool empty() const { return responses_.empty(); }
  int64_t bytes() const { return bytes_; }

  // Previews dropped by Push since the last call.
  int64_t TakeDroppedPreviews();

 private:
  absl::Status PushImage(std::vector<v1::GenerateResponse> chunks);
  void PushPreview(v1::GenerateResponse preview);
  void PushStep(v1::GenerateResponse step);

  const std::string request_id_;
  const std::string model_;
  const EventBufferOptions options_;
  std::deque<v1::GenerateResponse> responses_;
  int64_t bytes_ = 0;
  int64_t dropped_previews_ = 0;
};

}  // namespace ilf
