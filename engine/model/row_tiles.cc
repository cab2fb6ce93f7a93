#include "engine/model/row_tiles.h"

#include <algorithm>
#include <numeric>

#include <ATen/ops/cat.h>
#include <ATen/ops/equal.h>

#include "engine/base/check.h"

namespace ilf {
namespace {

using Layer = std::function<at::Tensor(const at::Tensor&)>;

// `layer` of as many rows as whole calls of `size` hold.
at::Tensor InCallsOf(int64_t size, const at::Tensor& rows, const Layer& layer) {
  std::vector<at::Tensor> parts;
  for (int64_t begin = 0; begin + size <= rows.size(0); begin += size) {
    parts.push_back(layer(rows.narrow(0, begin, size)));
  }
  return at::cat(parts);
}

// `rows` cyclically moved by `by` positions.
at::Tensor Rotate(const at::Tensor& rows, int64_t by) {
  return at::cat({rows.narrow(0, by, rows.size(0) - by), rows.narrow(0, 0, by)});
}

}  // namespace

std::vector<int64_t> SplitRows(int64_t rows, const std::vector<int64_t>& sizes, double call_cost) {
  Check(!sizes.empty(), "no tile sizes");
  if (rows <= 0) return {};
  const auto covers = std::lower_bound(sizes.begin(), sizes.end(), rows);
  if (covers == sizes.begin()) return {sizes.front()};
  const int64_t fits = *(covers - 1);
  std::vector<int64_t> calls = SplitRows(rows - fits, sizes, call_cost);
  calls.insert(calls.begin(), fits);
  const double cost = std::accumulate(calls.begin(), calls.end(), call_cost * calls.size());
  if (covers != sizes.end() && *covers + call_cost <= cost) return {*covers};
  return calls;
}

std::vector<int64_t> ProbeRowTiles(int64_t base, const std::vector<int64_t>& candidates,
                                   const at::Tensor& probe_rows, const Layer& layer) {
  std::vector<int64_t> sizes = {base};
  const at::Tensor expected = InCallsOf(base, probe_rows, layer);
  for (int64_t size : candidates) {
    if (size == base || size > probe_rows.size(0)) continue;
    bool agrees = true;
    for (int64_t shift : {0, 5}) {
      const at::Tensor found = InCallsOf(size, Rotate(probe_rows, shift), layer);
      agrees = agrees && at::equal(found, Rotate(expected, shift).narrow(0, 0, found.size(0)));
    }
    if (agrees) sizes.push_back(size);
  }
  std::sort(sizes.begin(), sizes.end());
  return sizes;
}

}  // namespace ilf
