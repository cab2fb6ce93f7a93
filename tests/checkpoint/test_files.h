// Safetensors files made by hand, sound or not.
#pragma once

#include <cstdint>
#include <string>

#include "tests/testing/temp_path.h"

namespace ilf {

inline std::string LittleEndian64(uint64_t value) {
  std::string bytes(8, '\0');
  for (int i = 0; i < 8; ++i) bytes[i] = static_cast<char>(value >> (8 * i) & 0xff);
  return bytes;
}

// A safetensors file with this JSON header and this data, whether they agree or not.
inline std::string SafetensorsBytes(const std::string& header, const std::string& data) {
  return LittleEndian64(header.size()) + header + data;
}

}  // namespace ilf
