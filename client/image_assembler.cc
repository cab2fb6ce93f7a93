#include "client/image_assembler.h"

#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace ilf {
namespace {

absl::Status BrokenChunk(const v1::ImageEvent& chunk, absl::string_view reason) {
  return absl::DataLossError(
      absl::StrCat("broken chunk of image ", chunk.image_index(), ": ", reason));
}

}  // namespace

absl::StatusOr<std::optional<v1::ImageEvent>> ImageAssembler::Add(v1::ImageEvent chunk) {
  if (chunk.total_size() < 0 || chunk.total_size() > kMaxImageBytes) {
    return BrokenChunk(chunk, absl::StrCat("the image would have ", chunk.total_size(), " bytes"));
  }
  if (image_.has_value() && (chunk.image_index() != image_->image_index() ||
                             chunk.total_size() != image_->total_size())) {
    return BrokenChunk(chunk, absl::StrCat("image ", image_->image_index(), " is not complete"));
  }
  const int64_t received = image_.has_value() ? image_->data().size() : 0;
  if (chunk.chunk_offset() != received) {
    return BrokenChunk(
        chunk, absl::StrCat("it starts at byte ", chunk.chunk_offset(), ", not at ", received));
  }
  const int64_t end = received + static_cast<int64_t>(chunk.data().size());
  const bool last = chunk.last_chunk();
  if (last ? end != chunk.total_size() : end >= chunk.total_size()) {
    return BrokenChunk(chunk, absl::StrCat("it ends at byte ", end, " of ", chunk.total_size()));
  }
  if (!image_.has_value()) {
    image_ = std::move(chunk);
  } else {
    image_->mutable_data()->append(chunk.data());
    image_->set_last_chunk(last);
  }
  if (!last) return std::nullopt;
  return std::exchange(image_, std::nullopt);
}

}  // namespace ilf
