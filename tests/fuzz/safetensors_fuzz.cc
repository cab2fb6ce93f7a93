// Whatever the bytes of a file: opening it gives a Status or tensors whose bytes can all be read.
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "engine/checkpoint/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const int fd = memfd_create("input", 0);
  if (fd < 0 || write(fd, data, size) != static_cast<ssize_t>(size)) std::abort();
  const auto file = ilf::SafetensorsFile::Open("/proc/self/fd/" + std::to_string(fd));
  if (file.ok()) {
    uint64_t bytes = 0;
    volatile uint8_t sink = 0;
    for (const auto& [name, entry] : (*file)->tensors()) {
      for (const uint8_t byte : (*file)->Data(entry)) sink = sink ^ byte;
      bytes += entry.end - entry.begin;
    }
    if (bytes >= size) std::abort();
  }
  close(fd);
  return 0;
}
