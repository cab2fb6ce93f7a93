// Reads the configuration file: ilf.config.v1.ServerConfig in protobuf's text format.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "ilf/config/v1/server_config.pb.h"

namespace ilf {

// Parses and checks `text`. INVALID_ARGUMENT has one line "NAME:LINE:COLUMN: field: limit" (or, for
// what is not text format, "NAME:LINE:COLUMN: reason") for every mistake.
absl::StatusOr<config::v1::ServerConfig> ParseConfig(absl::string_view text,
                                                     absl::string_view name);

// The same for a file; NOT_FOUND and such when it cannot be read.
absl::StatusOr<config::v1::ServerConfig> ReadConfigFile(const std::string& path);

}  // namespace ilf
