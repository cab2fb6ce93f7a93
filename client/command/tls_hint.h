// What to do when a connection fails because client and server do not agree about TLS.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "client/command/command_line.h"

namespace ilf {

// One line, or "" where TLS is not the matter. gRPC tells it in words only, and which words depends
// on its version and on who closes first: the hints say what may be the case.
std::string TlsHint(const absl::Status& call, const Connection& connection);

}  // namespace ilf
