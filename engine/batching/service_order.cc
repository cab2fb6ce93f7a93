#include "engine/batching/service_order.h"

namespace ilf {

ServiceRank RankAt(const ServiceClaim& claim, absl::Duration max_wait, absl::Time now) {
  if (now - claim.waiting_since >= max_wait) return {0, claim.waiting_since, claim.arrival};
  const int level = 1 + static_cast<int>(Priority::kHigh) - static_cast<int>(claim.priority);
  return {level, claim.deadline, claim.arrival};
}

}  // namespace ilf
