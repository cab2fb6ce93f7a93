// Errors of a call: from gRPC's status to ours, with the google.rpc details that came along.
#pragma once

#include <optional>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "google/rpc/error_details.pb.h"
#include "grpcpp/support/status.h"

namespace ilf {

// The same code and message; each detail becomes a payload under its type URL. Details that do not
// parse are dropped: the error itself matters more.
absl::Status ToAbslStatus(const grpc::Status& status);

// The detail of that type, if the server sent one.
std::optional<google::rpc::BadRequest> BadRequestOf(const absl::Status& status);
std::optional<google::rpc::ErrorInfo> ErrorInfoOf(const absl::Status& status);
// How long to wait before the same request is worth another try.
std::optional<absl::Duration> RetryDelayOf(const absl::Status& status);

}  // namespace ilf
