// The border to LibTorch: what it throws becomes a Status.
#pragma once

#include <exception>
#include <new>
#include <string>

#include <c10/util/Exception.h>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace ilf {

// What `call`, which returns a Status or StatusOr, throws as a Status of one line:
// RESOURCE_EXHAUSTED when memory ran out, else INTERNAL. `where`, unless empty, goes before the
// line.
template <typename Call>
auto Guarded(Call call, absl::string_view where = "") -> decltype(call()) {
  const auto line = [where](absl::string_view what) {
    return absl::StrCat(where, where.empty() ? "" : ": ", what.substr(0, what.find('\n')));
  };
  try {
    return call();
  } catch (const c10::OutOfMemoryError& error) {
    return absl::ResourceExhaustedError(line(error.what_without_backtrace()));
  } catch (const std::bad_alloc& error) {
    return absl::ResourceExhaustedError(line("out of memory"));
  } catch (const c10::Error& error) {
    // The CPU's allocator has no exception of its own.
    const std::string what = error.what_without_backtrace();
    const bool no_memory = absl::StrContains(what, "DefaultCPUAllocator");
    return absl::Status(
        no_memory ? absl::StatusCode::kResourceExhausted : absl::StatusCode::kInternal, line(what));
  } catch (const std::exception& error) {
    return absl::InternalError(line(error.what()));
  }
}

}  // namespace ilf
