#include "engine/checkpoint/safetensors.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"

namespace ilf {
namespace {

constexpr uint64_t kLengthBytes = 8;

// Closes the descriptor when it goes out of scope.
struct FileDescriptor {
  explicit FileDescriptor(int fd) : fd(fd) {}
  ~FileDescriptor() {
    if (fd >= 0) close(fd);
  }
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;
  const int fd;
};

uint64_t LittleEndian64(const uint8_t* bytes) {
  uint64_t value = 0;
  for (int i = 7; i >= 0; --i) value = value << 8 | bytes[i];
  return value;
}

}  // namespace

absl::StatusOr<std::shared_ptr<const SafetensorsFile>> SafetensorsFile::Open(
    const std::string& path) {
  const FileDescriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.fd < 0) return absl::ErrnoToStatus(errno, absl::StrCat(path, ": cannot open"));
  struct stat info = {};
  if (fstat(file.fd, &info) != 0)
    return absl::ErrnoToStatus(errno, absl::StrCat(path, ": cannot stat"));
  if (!S_ISREG(info.st_mode)) return absl::InvalidArgumentError(absl::StrCat(path, ": not a file"));
  const auto file_bytes = static_cast<uint64_t>(info.st_size);
  if (file_bytes < kLengthBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": ", file_bytes, " bytes are too few for a safetensors file"));
  }
  void* const mapping = mmap(nullptr, file_bytes, PROT_READ, MAP_PRIVATE, file.fd, 0);
  if (mapping == MAP_FAILED) return absl::ErrnoToStatus(errno, absl::StrCat(path, ": cannot map"));
  std::shared_ptr<SafetensorsFile> opened(
      new SafetensorsFile(path, static_cast<const uint8_t*>(mapping), file_bytes));
  ILF_RETURN_IF_ERROR(opened->ReadHeader());
  return opened;
}

SafetensorsFile::~SafetensorsFile() { munmap(const_cast<uint8_t*>(mapping_), file_bytes_); }

absl::Status SafetensorsFile::ReadHeader() {
  const uint64_t header_bytes = LittleEndian64(mapping_);
  if (header_bytes > kMaxSafetensorsHeaderBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(path_, ": a header of ", header_bytes,
                     " bytes is over the limit (not a safetensors file?)"));
  }
  if (header_bytes > file_bytes_ - kLengthBytes) {
    return absl::InvalidArgumentError(absl::StrCat(path_, ": a header of ", header_bytes,
                                                   " bytes does not fit a file of ", file_bytes_,
                                                   " (is it truncated?)"));
  }
  data_start_ = kLengthBytes + header_bytes;
  const absl::string_view json(reinterpret_cast<const char*>(mapping_) + kLengthBytes,
                               header_bytes);
  ILF_ASSIGN_OR_RETURN(header_, ParseSafetensorsHeader(json, file_bytes_ - data_start_, path_));
  return absl::OkStatus();
}

absl::Span<const uint8_t> SafetensorsFile::Data(const TensorEntry& entry) const {
  return {mapping_ + data_start_ + entry.begin, static_cast<size_t>(entry.end - entry.begin)};
}

}  // namespace ilf
