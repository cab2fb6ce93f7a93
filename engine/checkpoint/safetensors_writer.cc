#include "engine/checkpoint/safetensors_writer.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <set>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "c10/core/ScalarType.h"
#include "engine/base/status_macros.h"
#include "nlohmann/json.hpp"

namespace ilf {
namespace {

using NamedTensor = std::pair<std::string, at::Tensor>;

// Null when the dtype is not written.
const char* DtypeName(at::ScalarType type) {
  switch (type) {
    case at::kFloat:
      return "F32";
    case at::kHalf:
      return "F16";
    case at::kBFloat16:
      return "BF16";
    case at::kLong:
      return "I64";
    default:
      return nullptr;
  }
}

absl::Status CheckTensors(const std::string& path, const std::vector<NamedTensor>& tensors) {
  std::set<std::string> names;
  for (const auto& [name, tensor] : tensors) {
    if (!names.insert(name).second || name == "__metadata__") {
      return absl::InvalidArgumentError(absl::StrCat(path, ": the name '", name, "' is taken"));
    }
    if (DtypeName(tensor.scalar_type()) == nullptr) {
      return absl::InvalidArgumentError(absl::StrCat(path, ": tensor '", name, "' is ",
                                                     c10::toString(tensor.scalar_type()),
                                                     ", which is not written"));
    }
  }
  return absl::OkStatus();
}

// The length of the JSON header and the header itself, padded so that the data is aligned to 8
// bytes.
std::string HeaderBytes(const std::vector<NamedTensor>& tensors,
                        const std::map<std::string, std::string>& metadata) {
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  uint64_t begin = 0;
  for (const auto& [name, tensor] : tensors) {
    const uint64_t end = begin + tensor.nbytes();
    header[name] = {{"dtype", DtypeName(tensor.scalar_type())},
                    {"shape", tensor.sizes().vec()},
                    {"data_offsets", {begin, end}}};
    begin = end;
  }
  std::string json = header.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  json.resize((json.size() + 7) / 8 * 8, ' ');
  std::string length(8, '\0');
  for (int i = 0; i < 8; ++i) length[i] = static_cast<char>(json.size() >> (8 * i) & 0xff);
  return length + json;
}

absl::Status WriteTo(const std::string& path, const std::string& header,
                     const std::vector<NamedTensor>& tensors) {
  const auto failed = [&path] {
    return absl::ErrnoToStatus(errno, absl::StrCat(path, ": cannot write"));
  };
  std::FILE* file = std::fopen(path.c_str(), "wb");
  if (file == nullptr) return failed();
  absl::Cleanup close = [&file] { std::fclose(file); };
  if (std::fwrite(header.data(), 1, header.size(), file) != header.size()) return failed();
  for (const auto& [name, tensor] : tensors) {
    if (tensor.numel() == 0) continue;
    const at::Tensor data = tensor.cpu().contiguous();
    if (std::fwrite(data.const_data_ptr(), 1, data.nbytes(), file) != data.nbytes())
      return failed();
  }
  if (std::fflush(file) != 0 || fsync(fileno(file)) != 0) return failed();
  return absl::OkStatus();
}

}  // namespace

absl::Status WriteSafetensors(const std::string& path, const std::vector<NamedTensor>& tensors,
                              const std::map<std::string, std::string>& metadata) {
  ILF_RETURN_IF_ERROR(CheckTensors(path, tensors));
  std::vector<NamedTensor> ordered = tensors;
  std::sort(ordered.begin(), ordered.end(), [](const NamedTensor& a, const NamedTensor& b) {
    return std::pair(-static_cast<int64_t>(a.second.element_size()), a.first) <
           std::pair(-static_cast<int64_t>(b.second.element_size()), b.first);
  });
  const std::string temporary = absl::StrCat(path, ".tmp", getpid());
  absl::Status status = WriteTo(temporary, HeaderBytes(ordered, metadata), ordered);
  if (status.ok() && std::rename(temporary.c_str(), path.c_str()) != 0) {
    status = absl::ErrnoToStatus(errno, absl::StrCat(path, ": cannot rename ", temporary));
  }
  if (!status.ok()) std::remove(temporary.c_str());
  return status;
}

}  // namespace ilf
