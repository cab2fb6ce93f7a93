#include "server/duration_conversion.h"

#include <algorithm>

namespace ilf {

google::protobuf::Duration ToProto(absl::Duration duration) {
  constexpr absl::Duration kMax = absl::Seconds(315'576'000'000);
  absl::Duration rest = std::clamp(duration, -kMax, kMax);
  google::protobuf::Duration proto;
  proto.set_seconds(absl::IDivDuration(rest, absl::Seconds(1), &rest));
  proto.set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(rest)));
  return proto;
}

absl::Duration FromProto(const google::protobuf::Duration& duration) {
  return absl::Seconds(duration.seconds()) + absl::Nanoseconds(duration.nanos());
}

}  // namespace ilf
