// The time as an argument: whatever decides by the clock is given one, and tests give it a fake.
#pragma once

#include "absl/time/time.h"

namespace ilf {

// Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual absl::Time Now() const = 0;
};

// The system's clock; lives as long as the process.
const Clock* SystemClock();

}  // namespace ilf
