#include "engine/batching/cost_model.h"

#include <algorithm>
#include <bit>

#include "absl/strings/str_cat.h"

namespace ilf {

std::string CostKey(absl::string_view model, int64_t tokens_per_row, Acceleration acceleration) {
  return absl::StrCat(model, "/", tokens_per_row, "/", static_cast<int>(acceleration));
}

int RowsPerStep(const GenerationRequest& request) { return request.guidance_scale == 1.0 ? 1 : 2; }

int CostModel::Bucket(int rows) {
  const int bucket = std::bit_width(static_cast<unsigned>(std::max(rows, 1) - 1));
  return std::min(bucket, kBuckets - 1);
}

void CostModel::Add(absl::Duration took, absl::Time now, Average& average) const {
  // The first run of a shape pays for allocation and kernel selection: it counts until there is a
  // second.
  ++average.measurements;
  if (average.measurements <= 2 || !Fresh(average, now)) {
    average.value = took;
  } else {
    average.value += options_.newest_weight * (took - average.value);
  }
  average.newest = now;
}

bool CostModel::Fresh(const Average& average, absl::Time now) const {
  return now - average.newest <= options_.stale_after;
}

void CostModel::AddStep(absl::string_view key, int rows, absl::Duration took, absl::Time now) {
  Add(took, now, costs_[key].steps[Bucket(rows)]);
}

void CostModel::AddDecode(absl::string_view key, absl::Duration took, absl::Time now) {
  Add(took, now, costs_[key].decode);
}

void CostModel::AddRun(absl::Duration took, absl::Time now) { Add(took, now, run_); }

absl::Duration CostModel::StepTime(absl::string_view key, int rows, absl::Time now) const {
  const auto found = costs_.find(key);
  if (found == costs_.end()) return absl::ZeroDuration();
  const auto& steps = found->second.steps;
  const int wanted = Bucket(rows);
  for (int bucket = wanted; bucket >= 0; --bucket) {
    if (Fresh(steps[bucket], now)) return steps[bucket].value;
  }
  for (int bucket = wanted + 1; bucket < kBuckets; ++bucket) {
    if (Fresh(steps[bucket], now)) return steps[bucket].value / (1 << (bucket - wanted));
  }
  return absl::ZeroDuration();
}

absl::Duration CostModel::LeastRunTime(absl::string_view key, const GenerationRequest& request,
                                       absl::Time now) const {
  absl::Duration total = request.steps * StepTime(key, RowsPerStep(request), now);
  const auto found = costs_.find(key);
  if (found != costs_.end() && Fresh(found->second.decode, now)) {
    total += found->second.decode.value;
  }
  return total;
}

absl::Duration CostModel::RunTime(absl::Time now) const {
  return Fresh(run_, now) ? run_.value : absl::ZeroDuration();
}

}  // namespace ilf
