// absl::Duration to and from google.protobuf.Duration.
#pragma once

#include "absl/time/time.h"
#include "google/protobuf/duration.pb.h"

namespace ilf {

// Saturates at the range of google.protobuf.Duration, 10,000 years.
google::protobuf::Duration ToProto(absl::Duration duration);

absl::Duration FromProto(const google::protobuf::Duration& duration);

}  // namespace ilf
