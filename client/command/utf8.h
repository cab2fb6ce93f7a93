// Whether text can be sent: the strings of protobuf are UTF-8.
#pragma once

#include <cstddef>
#include <optional>

#include "absl/strings/string_view.h"

namespace ilf {

// Position of the first byte that no valid UTF-8 goes on with, from 0; nothing where `text`, which
// holds no NUL, is valid throughout.
std::optional<size_t> FindInvalidUtf8(absl::string_view text);

}  // namespace ilf
