// The images that wait for a worker.
//
// A plain data structure: no threads, no locks, and the time is an argument. Bounded in images: a
// request is taken whole or refused whole.
#pragma once

#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "engine/api/engine.h"
#include "engine/batching/service_order.h"

namespace ilf {

struct AdmissionOptions {
  int max_images = 256;                         // waiting at once
  absl::Duration max_wait = absl::Seconds(30);  // after that an image counts as highest
};

struct WaitingRequest {
  RequestHandle handle = 0;  // smaller = arrived earlier
  int images = 1;
  Priority priority = Priority::kNormal;
  absl::Time deadline = absl::InfiniteFuture();
  // Of one image, from being taken up to its end; zero = not known.
  absl::Duration least_run_time = absl::ZeroDuration();
};

struct WaitingImage {
  RequestHandle handle = 0;
  int image_index = 0;
  absl::Duration waited;
};

// What the workers can take, for the estimate of a wait.
struct PoolLoad {
  int slots = 1;  // images that all workers together can have under way
  int free_slots = 0;
  absl::Duration run_time = absl::ZeroDuration();  // of an image on a worker; zero = not known
};

struct QueuePosition {
  int images_ahead = 0;
  absl::Duration estimated_wait;  // of the request's first image
};

class AdmissionQueue {
 public:
  explicit AdmissionQueue(const AdmissionOptions& options) : options_(options) {}

  // INVALID_ARGUMENT: more images than max_images. RESOURCE_EXHAUSTED: no room for all images.
  // DEADLINE_EXCEEDED: the last image cannot be done in time.
  absl::StatusOr<QueuePosition> Add(const WaitingRequest& request, const PoolLoad& load,
                                    absl::Time now);

  // The image to serve next; nothing when none waits. Call DropLate() first.
  std::optional<WaitingImage> Take(absl::Time now);

  // Removes the requests that cannot meet their deadline even if they were taken up now.
  std::vector<RequestHandle> DropLate(absl::Time now);

  // Removes what still waits of a request; false if nothing did.
  bool Remove(RequestHandle handle);

  int images() const { return images_; }

 private:
  struct Entry {
    WaitingRequest request;
    absl::Time arrival;
    int next_image = 0;

    int images() const { return request.images - next_image; }
  };

  ServiceRank Rank(const Entry& entry, absl::Time now) const;
  void Erase(size_t index);

  const AdmissionOptions options_;
  std::vector<Entry> entries_;  // unordered
  int images_ = 0;              // sum of entries_[].images()
};

}  // namespace ilf
