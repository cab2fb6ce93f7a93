#include "engine/checkpoint/file_hash.h"

#include <openssl/evp.h>

#include <cerrno>
#include <fstream>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace ilf {
namespace {

constexpr size_t kChunk = 1 << 20;

}  // namespace

absl::StatusOr<std::string> FileSha256(const std::string& path) {
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  if (!file) return absl::ErrnoToStatus(errno, absl::StrCat(path, ": cannot open"));
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(),
                                                                        &EVP_MD_CTX_free);
  bool ok = context != nullptr && EVP_DigestInit_ex(context.get(), EVP_sha256(), nullptr) == 1;
  std::vector<char> chunk(kChunk);
  while (ok && file) {
    file.read(chunk.data(), static_cast<std::streamsize>(chunk.size()));
    ok = EVP_DigestUpdate(context.get(), chunk.data(), static_cast<size_t>(file.gcount())) == 1;
  }
  if (file.bad()) return absl::InvalidArgumentError(absl::StrCat(path, ": cannot read"));
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  if (!ok || EVP_DigestFinal_ex(context.get(), digest, &size) != 1) {
    return absl::InternalError("SHA-256 is not available");
  }
  return absl::BytesToHexString({reinterpret_cast<const char*>(digest), size});
}

}  // namespace ilf
