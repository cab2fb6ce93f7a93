#include "server/event_buffer.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/conversion.h"

namespace ilf {
namespace {

using v1::GenerateResponse;

int64_t PictureBytes(const GenerateResponse& response) {
  return static_cast<int64_t>(response.image().data().size() + response.preview().data().size());
}

}  // namespace

absl::Status EventBuffer::Push(Event event) {
  std::vector<GenerateResponse> responses =
      ToResponses(std::move(event), {request_id_, model_}, options_.max_chunk_bytes);
  switch (responses.front().event_case()) {
    case GenerateResponse::kImage:
      return PushImage(std::move(responses));
    case GenerateResponse::kPreview:
      PushPreview(std::move(responses.front()));
      return absl::OkStatus();
    case GenerateResponse::kStep:
      PushStep(std::move(responses.front()));
      return absl::OkStatus();
    default:
      responses_.push_back(std::move(responses.front()));
      return absl::OkStatus();
  }
}

absl::Status EventBuffer::PushImage(std::vector<GenerateResponse> chunks) {
  const int64_t size = chunks.front().image().total_size();
  if (bytes_ + size > options_.max_bytes) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the client leaves more than ", options_.max_bytes, " bytes unread"));
  }
  bytes_ += size;
  std::move(chunks.begin(), chunks.end(), std::back_inserter(responses_));
  return absl::OkStatus();
}

void EventBuffer::PushPreview(GenerateResponse preview) {
  const auto older =
      std::find_if(responses_.begin(), responses_.end(), [&](const GenerateResponse& response) {
        return response.has_preview() &&
               response.preview().image_index() == preview.preview().image_index();
      });
  const int64_t freed = older == responses_.end() ? 0 : PictureBytes(*older);
  const int64_t size = PictureBytes(preview);
  if (bytes_ - freed + size > options_.max_bytes) {
    ++dropped_previews_;
    return;
  }
  bytes_ += size - freed;
  if (older == responses_.end()) {
    responses_.push_back(std::move(preview));
  } else {
    *older = std::move(preview);
    ++dropped_previews_;
  }
}

void EventBuffer::PushStep(GenerateResponse step) {
  const auto older =
      std::find_if(responses_.begin(), responses_.end(), [&](const GenerateResponse& response) {
        return response.has_step() && response.step().image_index() == step.step().image_index();
      });
  if (older == responses_.end()) {
    responses_.push_back(std::move(step));
  } else {
    *older = std::move(step);
  }
}

std::optional<GenerateResponse> EventBuffer::Pop() {
  if (responses_.empty()) return std::nullopt;
  GenerateResponse response = std::move(responses_.front());
  responses_.pop_front();
  bytes_ -= PictureBytes(response);
  return response;
}

void EventBuffer::Clear() {
  responses_.clear();
  bytes_ = 0;
}

int64_t EventBuffer::TakeDroppedPreviews() { return std::exchange(dropped_previews_, 0); }

}  // namespace ilf
