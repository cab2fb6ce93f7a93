// Runs closures somewhere else: on a thread pool in the server, step by step in tests.
#pragma once

#include "absl/functional/any_invocable.h"

namespace ilf {

// Thread-safe.
class Executor {
 public:
  virtual ~Executor() = default;
  // Runs `task` once, later or at once. Never blocks on other tasks.
  virtual void Schedule(absl::AnyInvocable<void() &&> task) = 0;
};

}  // namespace ilf
