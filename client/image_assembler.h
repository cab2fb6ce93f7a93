// Puts an image together from the chunks that it arrives in.
#pragma once

#include <cstdint>
#include <optional>

#include "absl/status/statusor.h"
#include "ilf/v1/image_generation.pb.h"

namespace ilf {

// Not thread-safe.
class ImageAssembler {
 public:
  // A larger image is refused, so that a faulty server cannot exhaust our memory.
  static constexpr int64_t kMaxImageBytes = int64_t{256} << 20;

  // Takes the next chunk. Returns the image once it is complete, with all its bytes in `data`, as
  // if it had come in one chunk; nothing while chunks are missing. DATA_LOSS when the chunk does
  // not continue what came before; nothing more may be added then.
  absl::StatusOr<std::optional<v1::ImageEvent>> Add(v1::ImageEvent chunk);

  // Whether an image has begun that is not complete.
  bool InProgress() const { return image_.has_value(); }

 private:
  std::optional<v1::ImageEvent> image_;  // the chunks so far
};

}  // namespace ilf
