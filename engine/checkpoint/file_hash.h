// The identity of a file, or of a text.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace ilf {

// SHA-256 of the file's bytes, 64 lower-case hexadecimal digits. The errors of opening and reading
// it.
absl::StatusOr<std::string> FileSha256(const std::string& path);

// The same of bytes in memory.
absl::StatusOr<std::string> Sha256(absl::string_view bytes);

}  // namespace ilf
