// Reads google.rpc details back out of a status.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "grpcpp/support/status.h"

namespace ilf {

template <typename Detail>
std::optional<Detail> DetailOf(const grpc::Status& status) {
  google::rpc::Status proto;
  if (!proto.ParseFromString(status.error_details())) return std::nullopt;
  for (const auto& any : proto.details()) {
    Detail detail;
    if (any.UnpackTo(&detail)) return detail;
  }
  return std::nullopt;
}

// Field -> description of its google.rpc.BadRequest; empty when there is none.
inline std::map<std::string, std::string> ViolationsOf(const grpc::Status& status) {
  std::map<std::string, std::string> violations;
  const auto bad_request = DetailOf<google::rpc::BadRequest>(status);
  if (!bad_request.has_value()) return violations;
  for (const auto& violation : bad_request->field_violations()) {
    violations[violation.field()] = violation.description();
  }
  return violations;
}

}  // namespace ilf
