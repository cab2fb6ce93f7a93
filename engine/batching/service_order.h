// Who is served first, in the queue and on a worker alike.
//
// Priority goes first, and rises with waiting: what has waited for max_wait counts as higher than
// every priority, the longest wait first, so nobody waits for ever. Within one priority the
// earliest deadline goes first, then the earliest arrival.
#pragma once

#include <compare>
#include <cstdint>

#include "absl/time/time.h"
#include "engine/api/generation.h"

namespace ilf {

// The place of one image or request at one moment; the smaller is served first.
struct ServiceRank {
  int level = 0;         // 0 = has waited long enough; then 1 .. 3 from kHigh to kLow
  absl::Time time;       // level 0: waiting since; other levels: deadline
  uint64_t arrival = 0;  // breaks ties

  friend std::strong_ordering operator<=>(const ServiceRank& a, const ServiceRank& b) = default;
};

// What the rank is computed from.
struct ServiceClaim {
  Priority priority = Priority::kNormal;
  absl::Time deadline = absl::InfiniteFuture();
  absl::Time waiting_since;
  uint64_t arrival = 0;  // smaller = earlier
};

ServiceRank RankAt(const ServiceClaim& claim, absl::Duration max_wait, absl::Time now);

}  // namespace ilf
