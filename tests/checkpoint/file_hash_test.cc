#include "engine/checkpoint/file_hash.h"

#include <filesystem>
#include <fstream>
#include <string>

#include <gtest/gtest.h>

#include "tests/testing/temp_path.h"

namespace ilf {
namespace {

std::string HashOf(const std::string& content) {
  const std::string path = TestPath("content");
  std::ofstream(path, std::ios::binary) << content;
  const auto hash = FileSha256(path);
  std::filesystem::remove(path);
  return hash.ok() ? *hash : hash.status().ToString();
}

// The examples of FIPS 180-2, appendix B.
TEST(FileHashTest, IsSha256) {
  EXPECT_EQ(HashOf("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(HashOf(std::string(1000000, 'a')),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
  EXPECT_EQ(HashOf(std::string(3 << 20, '\0')).size(), 64u);
}

TEST(FileHashTest, BytesInMemoryHashAsTheFileThatHoldsThem) {
  EXPECT_EQ(Sha256("abc").value(), HashOf("abc"));
  EXPECT_EQ(Sha256("").value(), HashOf(""));
}

TEST(FileHashTest, SaysWhichFileIsMissing) {
  const auto hash = FileSha256("/nowhere/weights");
  EXPECT_EQ(hash.status().code(), absl::StatusCode::kNotFound);
  EXPECT_NE(hash.status().message().find("/nowhere/weights"), std::string::npos);
}

}  // namespace
}  // namespace ilf
