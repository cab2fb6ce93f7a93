// How full a device is.
#pragma once

#include <cstdint>
#include <string>

namespace ilf {

struct DeviceMemory {
  std::string device;  // "cpu", "cuda:0", ...
  // Taken: of a GPU by all processes, what a caching allocator keeps included; of the CPU the
  // process' resident memory.
  int64_t used_bytes = 0;
  // There is: of a GPU all of it; of the CPU the machine's RAM or the least limit of the process'
  // control groups.
  int64_t limit_bytes = 0;
};

}  // namespace ilf
