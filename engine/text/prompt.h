// What becomes of a prompt before it is tokenized.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace ilf {

// Exactly Python's `prompt.lower().strip()`, as diffusers' PixArt pipelines do where bs4 and ftfy
// are not installed: full Unicode lower-casing (one character may become two; a capital sigma at
// the end of a word becomes the final form) and Python's notion of white space. ICU's Unicode
// version counts; a character that it does not know yet stays as it is. INVALID_ARGUMENT unless
// `prompt` is valid UTF-8. Thread-safe.
absl::StatusOr<std::string> CleanPrompt(absl::string_view prompt);

}  // namespace ilf
