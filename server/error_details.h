// google.rpc error details on absl::Status, and the one conversion to grpc::Status at the edge.
//
// A detail travels as a payload of the absl::Status, under its protobuf type URL, so the layers
// between need not know of it.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "google/protobuf/message.h"
#include "grpcpp/support/status.h"

namespace ilf {

// The domain of every ErrorInfo of this server.
inline constexpr char kErrorDomain[] = "ilf.v1";

struct FieldViolation {
  std::string field;        // as in the .proto, nested fields with dots: "preview.max_side"
  std::string description;  // the limit, and what was given
};

// INVALID_ARGUMENT with google.rpc.BadRequest; the message lists every violation. Needs at least
// one.
absl::Status InvalidFields(const std::vector<FieldViolation>& violations);

// An error with google.rpc.ErrorInfo; `reason` is UPPER_SNAKE_CASE.
absl::Status ErrorWithInfo(absl::StatusCode code, absl::string_view message,
                           absl::string_view reason,
                           const std::vector<std::pair<std::string, std::string>>& metadata);

// `status` with google.rpc.RetryInfo.
absl::Status WithRetryDelay(absl::Status status, absl::Duration delay);

grpc::Status ToGrpcStatus(const absl::Status& status);

// "OK", "CANCELLED", ...: the label of metrics and logs.
std::string StatusCodeName(absl::StatusCode code);

// Text of a client for messages and logs: in single quotes, not printable bytes escaped, cut at 64
// bytes.
std::string Quoted(absl::string_view text);

}  // namespace ilf
