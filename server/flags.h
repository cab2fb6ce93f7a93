// The command line of ilf-server.
#pragma once

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "ilf/config/v1/server_config.pb.h"

namespace ilf {

struct Flags {
  std::string config_file;             // "" = none
  std::string port_file;               // "" = none
  bool check_config = false;           // only check flags and configuration
  config::v1::ServerConfig overrides;  // what was given, checked
  std::optional<std::string> show;     // text to print to stdout instead of serving: help, version
};

// INVALID_ARGUMENT names the flag and its limit.
absl::StatusOr<Flags> ParseFlags(int argc, const char* const* argv);

}  // namespace ilf
