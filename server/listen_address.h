// Addresses to listen on, "HOST:PORT".
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace ilf {

// `address` with its port replaced: the port that the system picked for port 0.
std::string WithPort(absl::string_view address, int port);

// Why `address` cannot be listened on: "cannot listen on HOST:PORT: Address already in use". For
// use after a library has failed to do so without saying why: tries again, with a plain socket.
absl::Status ListenError(absl::string_view address);

}  // namespace ilf
