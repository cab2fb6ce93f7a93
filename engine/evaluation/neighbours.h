// Nearest neighbours of pictures in a data set: whether a model repeats what it was trained on.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>

#include <ATen/core/Tensor.h>

#include "absl/status/statusor.h"
#include "engine/model/image_classifier.h"
#include "engine/training/image_folder.h"

namespace ilf {

// Of each of n queries the nearest point of a set.
struct Neighbours {
  at::Tensor indices;    // [n] int64, places in the set from 0; of equally near points the first
  at::Tensor distances;  // [n] float32, roots of the mean squared difference, in the points' units
};

// Searches a set that comes in chunks and is never held whole. Distances are summed directly, so
// that a point lies at exactly 0 from itself. Not thread-safe.
class NeighbourSearch {
 public:
  // `queries`: [n, ...] float32 on the CPU, each of what follows the first dimension one point.
  explicit NeighbourSearch(const at::Tensor& queries);

  // The next points of the set, [m, ...] float32 on the CPU, shaped like the queries.
  void Add(const at::Tensor& points);

  // Among all points added so far; index -1 and an infinite distance before the first.
  const Neighbours& nearest() const { return nearest_; }

 private:
  const at::Tensor queries_;  // [n, d]
  int64_t seen_ = 0;
  Neighbours nearest_;
};

struct PictureNeighbours {
  Neighbours by_pixels;                   // of pictures in [-1, 1]
  std::optional<Neighbours> by_features;  // of the classifier's features
};

struct NeighbourOptions {
  const ImageClassifier* classifier = nullptr;  // nullptr: by pixels alone
  int64_t batch = 500;                          // pictures of the folder held at once
};

// The nearest pictures of `folder` to `pictures`, [n, 3, side, side] float32 in [-1, 1] on the CPU
// with the folder's side. Reads the whole folder once and shows progress on stderr. ImageFolder's
// errors; INVALID_ARGUMENT for pictures of another side; CANCELLED once `stop` is set.
absl::StatusOr<PictureNeighbours> NearestInFolder(const at::Tensor& pictures,
                                                  const ImageFolder& folder,
                                                  const NeighbourOptions& options,
                                                  const std::atomic<bool>& stop);

}  // namespace ilf
