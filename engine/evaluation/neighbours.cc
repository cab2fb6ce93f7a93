#include "engine/evaluation/neighbours.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include <torch/types.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "engine/base/status_macros.h"

namespace ilf {
namespace {

constexpr int64_t kPicturesBetweenReports = 10000;
constexpr int64_t kWithoutMatrixProduct = 2;  // at::cdist: differences, not norms and products

}  // namespace

NeighbourSearch::NeighbourSearch(const at::Tensor& queries)
    : queries_(queries.flatten(1).contiguous()),
      nearest_{at::full({queries.size(0)}, -1, at::kLong),
               at::full({queries.size(0)}, std::numeric_limits<float>::infinity())} {}

void NeighbourSearch::Add(const at::Tensor& points) {
  const at::Tensor set = points.flatten(1).contiguous();
  if (set.size(0) == 0) return;
  const at::Tensor distances = at::cdist(queries_, set, 2.0, kWithoutMatrixProduct) /
                               std::sqrt(static_cast<double>(set.size(1)));
  const auto [closest, place] = distances.min(1);
  const at::Tensor nearer = closest < nearest_.distances;
  nearest_.indices = at::where(nearer, place + seen_, nearest_.indices);
  nearest_.distances = at::where(nearer, closest, nearest_.distances);
  seen_ += set.size(0);
}

absl::StatusOr<PictureNeighbours> NearestInFolder(const at::Tensor& pictures,
                                                  const ImageFolder& folder,
                                                  const NeighbourOptions& options,
                                                  const std::atomic<bool>& stop) {
  if (pictures.size(2) != folder.side() || pictures.size(3) != folder.side()) {
    return absl::InvalidArgumentError(absl::StrCat("pictures of ", pictures.size(3), "x",
                                                   pictures.size(2), " have no neighbours of side ",
                                                   folder.side()));
  }
  at::NoGradGuard no_grad;
  NeighbourSearch by_pixels(pictures);
  std::optional<NeighbourSearch> by_features;
  const auto features = [&](const at::Tensor& of) {
    return options.classifier->Features(of).to(at::kCPU);
  };
  if (options.classifier != nullptr) by_features.emplace(features(pictures));
  for (int64_t begin = 0; begin < folder.size(); begin += options.batch) {
    if (stop) return absl::CancelledError("stopped; the same command begins anew");
    std::vector<int64_t> indices(std::min(options.batch, folder.size() - begin));
    std::iota(indices.begin(), indices.end(), begin);
    ILF_ASSIGN_OR_RETURN(const at::Tensor chunk, folder.Images(indices));
    by_pixels.Add(chunk);
    if (by_features) by_features->Add(features(chunk));
    const int64_t done = begin + chunk.size(0);
    if (done == folder.size() || done / kPicturesBetweenReports > begin / kPicturesBetweenReports) {
      absl::FPrintF(stderr, "neighbours: %d of %d pictures\n", done, folder.size());
    }
  }
  PictureNeighbours found = {by_pixels.nearest(), std::nullopt};
  if (by_features) found.by_features = by_features->nearest();
  return found;
}

}  // namespace ilf
