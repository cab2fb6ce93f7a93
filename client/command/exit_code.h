// How ilf-client ends: the numbers are part of its interface, for scripts.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "client/command/command_line.h"

namespace ilf {

enum ExitCode : int {
  kExitOk = 0,
  kExitUsage = 2,               // the command line is wrong
  kExitInvalidArgument = 3,     // the server refused a value: INVALID_ARGUMENT, NOT_FOUND, ...
  kExitUnavailable = 4,         // no server there, or it is starting or stopping; not SERVING
  kExitDeadlineExceeded = 5,    // --timeout passed or cannot be met
  kExitCancelled = 6,           // Ctrl-C
  kExitResourceExhausted = 7,   // the server's queue is full: RESOURCE_EXHAUSTED with RetryInfo
  kExitFailedPrecondition = 8,  // the model cannot do this
  kExitError = 9,               // any other error
  kExitCannotWrite = 10,        // a picture could not be written
};

ExitCode ExitCodeOf(const absl::Status& call);

// The lines of --help about them.
std::string ExitCodeHelp();

// What went wrong, for people: the message, then one line for each field that the server objected
// to, when to try again, and what to do about TLS (tls_hint.h). Ends with a newline.
std::string ErrorText(const absl::Status& call, const Connection& connection);

}  // namespace ilf
