// Reading of safetensors files. Nothing in the file is trusted: header length, JSON, names, dtypes,
// shapes and offsets are all checked before the first byte of data can be seen, and each failure is
// a Status that names the file and, where there is one, the tensor.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace ilf {

// Longest JSON header that is read, as in the reference implementation.
inline constexpr uint64_t kMaxSafetensorsHeaderBytes = 100'000'000;

struct TensorEntry {
  std::string dtype;  // as the file spells it: "F32", "BF16", "I64", ...
  std::vector<int64_t> shape;
  uint64_t begin = 0;  // bytes from the start of the data section
  uint64_t end = 0;    // one past the last byte
};

struct SafetensorsHeader {
  std::map<std::string, TensorEntry> tensors;
  std::map<std::string, std::string> metadata;
};

// Bytes of one element; 0 for a dtype that is not known.
size_t DtypeBytes(absl::string_view dtype);

// Parses the JSON header `json` of a file with `data_bytes` bytes of data behind it. The tensors
// returned have known dtypes, shapes that match their byte ranges, and cover the data section
// without overlap or hole. `origin` names the file in errors (INVALID_ARGUMENT).
absl::StatusOr<SafetensorsHeader> ParseSafetensorsHeader(absl::string_view json,
                                                         uint64_t data_bytes,
                                                         const std::string& origin);

// One file, mapped read-only for the life of the object. Immutable, thus thread-safe. The file must
// not be truncated by others meanwhile (replace it by rename, as WriteSafetensors does).
class SafetensorsFile {
 public:
  // NOT_FOUND when there is no such file, INVALID_ARGUMENT when it is not a sound safetensors file.
  static absl::StatusOr<std::shared_ptr<const SafetensorsFile>> Open(const std::string& path);
  ~SafetensorsFile();
  SafetensorsFile(const SafetensorsFile&) = delete;
  SafetensorsFile& operator=(const SafetensorsFile&) = delete;

  const std::string& path() const { return path_; }
  const std::map<std::string, TensorEntry>& tensors() const { return header_.tensors; }
  const std::map<std::string, std::string>& metadata() const { return header_.metadata; }

  // The bytes of an entry of tensors(), little-endian, row-major; valid while this object lives.
  // They start where the file puts them, which need not be a multiple of the element size.
  absl::Span<const uint8_t> Data(const TensorEntry& entry) const;

 private:
  SafetensorsFile(std::string path, const uint8_t* mapping, uint64_t file_bytes)
      : path_(std::move(path)), mapping_(mapping), file_bytes_(file_bytes) {}
  absl::Status ReadHeader();

  const std::string path_;
  const uint8_t* const mapping_;
  const uint64_t file_bytes_;
  uint64_t data_start_ = 0;
  SafetensorsHeader header_;
};

}  // namespace ilf
