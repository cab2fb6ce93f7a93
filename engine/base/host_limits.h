// What Linux lets this process have: the machine's own cores and memory, or less in a container.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace ilf {

struct HostLimits {
  // CPUs that threads of this process can keep busy at the same time: those it may run on, and no
  // more than the whole CPUs of its control groups' quota; >= 1. More threads than that are held
  // back by the kernel while others wait for them.
  int cpus = 1;
  // Of RAM, bytes: the machine's, or the least limit of its control groups; absent when unknown.
  std::optional<int64_t> memory_bytes;
};

// Reads /proc and the control groups (version 2, and version 1 as Docker mounts it) below `root`.
// What cannot be read is no limit. Thread-safe.
HostLimits ReadHostLimits(const std::string& root = "/");

// Bytes of this process that are in RAM now; absent when /proc does not tell.
std::optional<int64_t> ResidentBytes(const std::string& root = "/");

}  // namespace ilf
