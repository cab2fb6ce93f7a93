#include "client/command/exit_code.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "client/command/tls_hint.h"
#include "client/error_details.h"

namespace ilf {

ExitCode ExitCodeOf(const absl::Status& call) {
  switch (call.code()) {
    case absl::StatusCode::kOk:
      return kExitOk;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kOutOfRange:
      return kExitInvalidArgument;
    case absl::StatusCode::kUnavailable:
      return kExitUnavailable;
    case absl::StatusCode::kDeadlineExceeded:
      return kExitDeadlineExceeded;
    case absl::StatusCode::kCancelled:
      return kExitCancelled;
    case absl::StatusCode::kResourceExhausted:
      // Without RetryInfo something else is too large: the request, an image, a device's load.
      return RetryDelayOf(call).has_value() ? kExitResourceExhausted : kExitError;
    case absl::StatusCode::kFailedPrecondition:
      return kExitFailedPrecondition;
    default:
      return kExitError;
  }
}

std::string ExitCodeHelp() {
  return "Exit codes:\n"
         "   0  done\n"
         "   2  the command line is wrong\n"
         "   3  the server refused a value (also: no such model, request id in use)\n"
         "   4  no server answers, or it is starting or stopping (health: not SERVING)\n"
         "   5  --timeout has passed, or cannot be met\n"
         "   6  cancelled (Ctrl-C)\n"
         "   7  the server's queue is full\n"
         "   8  the model cannot do this\n"
         "   9  any other error\n"
         "  10  a picture could not be written";
}

std::string ErrorText(const absl::Status& call, const Connection& connection) {
  std::string text =
      absl::StrCat("error: ", absl::StatusCodeToString(call.code()), ": ", call.message(), "\n");
  if (const auto bad_request = BadRequestOf(call); bad_request.has_value()) {
    for (const auto& violation : bad_request->field_violations()) {
      if (absl::StrContains(call.message(), violation.description())) continue;  // said already
      absl::StrAppend(&text, "  ", violation.field(), ": ", violation.description(), "\n");
    }
  }
  if (const auto delay = RetryDelayOf(call); delay.has_value()) {
    absl::StrAppend(&text, "  try again in ", absl::FormatDuration(*delay), "\n");
  }
  if (const std::string hint = TlsHint(call, connection); !hint.empty()) {
    absl::StrAppend(&text, "  ", hint, "\n");
  }
  return text;
}

}  // namespace ilf
