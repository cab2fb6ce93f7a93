// The border between our code and a StepRunner's: an exception becomes a Status.
#pragma once

#include <exception>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"

namespace ilf {

// INTERNAL with the first line of what was thrown; libraries append stack traces to it.
inline absl::Status StatusFromException(absl::string_view call, absl::string_view what) {
  const std::pair<absl::string_view, absl::string_view> lines =
      absl::StrSplit(what, absl::MaxSplits('\n', 1));
  return absl::InternalError(absl::StrCat(call, " failed: ", lines.first));
}

// `function()`, a Status or StatusOr. `call` names it in the status of an exception.
template <typename Function>
auto GuardedCall(absl::string_view call, Function&& function) -> decltype(function()) {
  try {
    return std::forward<Function>(function)();
  } catch (const std::exception& error) {
    return StatusFromException(call, error.what());
  } catch (...) {
    return StatusFromException(call, "unknown exception");
  }
}

}  // namespace ilf
