// The identity of a file.
#pragma once

#include <string>

#include "absl/status/statusor.h"

namespace ilf {

// SHA-256 of the file's bytes, 64 lower-case hexadecimal digits. The errors of opening and reading
// it.
absl::StatusOr<std::string> FileSha256(const std::string& path);

}  // namespace ilf
