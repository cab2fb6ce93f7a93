// UTF-8 text as Python's str treats it.
#pragma once

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace ilf {

// INVALID_ARGUMENT, with the position of the first wrong byte, unless `text` is valid UTF-8
// (surrogates and overlong forms are not) of at
// most 512 MiB.
absl::Status CheckUtf8(absl::string_view text);

// Without the white space at one end; what counts as such is what Python's str.strip() removes: the
// characters of Unicode's White_Space and U+001C to U+001F. `text` is valid UTF-8.
absl::string_view StripLeft(absl::string_view text);
absl::string_view StripRight(absl::string_view text);

}  // namespace ilf
