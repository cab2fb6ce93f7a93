#include "engine/batching/admission_queue.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/check.h"

namespace ilf {
namespace {

// Time until the image behind `images_ahead` others is taken up.
absl::Duration EstimateWait(const PoolLoad& load, int images_ahead) {
  const int must_end_before = images_ahead - load.free_slots + 1;
  if (must_end_before <= 0) return absl::ZeroDuration();
  return load.run_time * must_end_before / std::max(load.slots, 1);
}

std::string Format(absl::Duration duration) {
  return absl::FormatDuration(absl::Trunc(duration, absl::Milliseconds(1)));
}

}  // namespace

absl::StatusOr<QueuePosition> AdmissionQueue::Add(const WaitingRequest& request,
                                                  const PoolLoad& load, absl::Time now) {
  Check(request.images >= 1, "a request asks for at least one image");
  if (request.images > options_.max_images) {
    return absl::InvalidArgumentError(absl::StrCat("image_count is ", request.images,
                                                   ", the queue of this server holds ",
                                                   options_.max_images, " images"));
  }
  if (request.images > options_.max_images - images_) {
    return absl::ResourceExhaustedError(absl::StrCat("the queue holds ", images_, " of ",
                                                     options_.max_images, " images, no room for ",
                                                     request.images, " more"));
  }
  const Entry entry{request, now};
  const ServiceRank rank = Rank(entry, now);
  QueuePosition position;
  for (const Entry& other : entries_) {
    if (Rank(other, now) < rank) position.images_ahead += other.images();
  }
  position.estimated_wait = EstimateWait(load, position.images_ahead);

  const absl::Duration until_done =
      EstimateWait(load, position.images_ahead + request.images - 1) + request.least_run_time;
  if (request.deadline <= now || now + until_done > request.deadline) {
    return absl::DeadlineExceededError(absl::StrCat("the request takes about ", Format(until_done),
                                                    ", its deadline is in ",
                                                    Format(request.deadline - now)));
  }
  entries_.push_back(entry);
  images_ += request.images;
  return position;
}

std::optional<WaitingImage> AdmissionQueue::Take(absl::Time now) {
  if (entries_.empty()) return std::nullopt;
  size_t first = 0;
  ServiceRank first_rank = Rank(entries_[0], now);
  for (size_t i = 1; i < entries_.size(); ++i) {
    const ServiceRank rank = Rank(entries_[i], now);
    if (rank < first_rank) {
      first = i;
      first_rank = rank;
    }
  }
  Entry& entry = entries_[first];
  const WaitingImage image{entry.request.handle, entry.next_image, now - entry.arrival};
  ++entry.next_image;
  --images_;
  if (entry.images() == 0) Erase(first);
  return image;
}

std::vector<RequestHandle> AdmissionQueue::DropLate(absl::Time now) {
  std::vector<RequestHandle> late;
  for (size_t i = entries_.size(); i-- > 0;) {
    const WaitingRequest& request = entries_[i].request;
    if (request.deadline > now && now + request.least_run_time <= request.deadline) continue;
    late.push_back(request.handle);
    Erase(i);
  }
  return late;
}

bool AdmissionQueue::Remove(RequestHandle handle) {
  for (size_t i = 0; i < entries_.size(); ++i) {
    if (entries_[i].request.handle != handle) continue;
    Erase(i);
    return true;
  }
  return false;
}

ServiceRank AdmissionQueue::Rank(const Entry& entry, absl::Time now) const {
  return RankAt(
      {entry.request.priority, entry.request.deadline, entry.arrival, entry.request.handle},
      options_.max_wait, now);
}

void AdmissionQueue::Erase(size_t index) {
  images_ -= entries_[index].images();
  if (index + 1 != entries_.size()) entries_[index] = std::move(entries_.back());
  entries_.pop_back();
}

}  // namespace ilf
