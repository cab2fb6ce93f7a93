// Invariants of our own code. Input from outside is answered with a Status instead.
#pragma once

#include <source_location>

namespace ilf {

// Ends the process with `message` and the caller's file and line on stderr unless `condition` holds.
void Check(bool condition, const char* message,
           std::source_location where = std::source_location::current());

}  // namespace ilf
