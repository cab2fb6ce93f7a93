#include "engine/checkpoint/safetensors_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "ATen/ops/arange.h"
#include "ATen/ops/empty.h"
#include "ATen/ops/equal.h"
#include "ATen/ops/full.h"
#include "c10/core/ScalarType.h"
#include "engine/checkpoint/safetensors.h"
#include "engine/checkpoint/state_dict.h"
#include "tests/checkpoint/test_files.h"

namespace ilf {
namespace {

std::string ReadBytes(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

size_t FilesIn(const std::string& path) {
  return std::distance(std::filesystem::directory_iterator(path), {});
}

class WriteSafetensorsTest : public testing::Test {
 protected:
  const TemporaryDirectory directory_;
  const std::string path_ = directory_.path() + "/model.safetensors";
};

TEST_F(WriteSafetensorsTest, ReadsBackWhatItWrote) {
  const at::Tensor f32 = at::arange(6, at::kFloat).reshape({2, 3});
  const at::Tensor f16 = at::arange(3, at::kHalf);
  const at::Tensor bf16 = at::arange(5, at::kBFloat16);
  ASSERT_TRUE(
      WriteSafetensors(path_, {{"f16", f16}, {"f32", f32}, {"bf16", bf16}}, {{"k", "v"}}).ok());
  auto dict = StateDict::Load(path_);
  ASSERT_TRUE(dict.ok()) << dict.status();
  EXPECT_TRUE(at::equal(*dict->Take("f32", {2, 3}), f32));
  EXPECT_TRUE(at::equal(*dict->Take("f16", {3}), f16));
  EXPECT_TRUE(at::equal(*dict->Take("bf16", {5}), bf16));
  EXPECT_TRUE(dict->CheckAllConsumed().ok());
  EXPECT_EQ((*SafetensorsFile::Open(path_))->metadata().at("k"), "v");
}

TEST_F(WriteSafetensorsTest, AlignsEveryTensorToItsElements) {
  ASSERT_TRUE(WriteSafetensors(path_,
                               {{"a", at::arange(1, at::kHalf)},
                                {"b", at::arange(3, at::kFloat)},
                                {"c", at::arange(1, at::kLong)},
                                {"d", at::arange(3, at::kBFloat16)}},
                               {})
                  .ok());
  const auto file = SafetensorsFile::Open(path_);
  ASSERT_TRUE(file.ok()) << file.status();
  for (const auto& [name, entry] : (*file)->tensors()) {
    const auto address = reinterpret_cast<uintptr_t>((*file)->Data(entry).data());
    EXPECT_EQ(address % DtypeBytes(entry.dtype), 0u) << name;
  }
}

TEST_F(WriteSafetensorsTest, WritesTheLayoutOfTheFormat) {
  ASSERT_TRUE(WriteSafetensors(path_, {{"a", at::full({2}, 1.0, at::kFloat)}}, {}).ok());
  const std::string bytes = ReadBytes(path_);
  const std::string header = R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})";
  ASSERT_LE(header.size(), 56u);
  EXPECT_EQ(bytes.substr(0, 8), LittleEndian64(56));
  EXPECT_EQ(bytes.substr(8, 56), header + std::string(56 - header.size(), ' '));
  EXPECT_EQ(bytes.substr(64), std::string("\0\0\x80\x3f\0\0\x80\x3f", 8));
}

TEST_F(WriteSafetensorsTest, WritesStridedTensorsRowByRow) {
  const at::Tensor matrix = at::arange(6, at::kFloat).reshape({2, 3});
  ASSERT_TRUE(WriteSafetensors(path_, {{"t", matrix.t()}}, {}).ok());
  auto dict = StateDict::Load(path_);
  EXPECT_TRUE(at::equal(*dict->Take("t", {3, 2}), matrix.t()));
}

TEST_F(WriteSafetensorsTest, WritesEmptyTensors) {
  ASSERT_TRUE(WriteSafetensors(path_, {{"e", at::empty({0, 4}, at::kFloat)}}, {}).ok());
  EXPECT_TRUE(StateDict::Load(path_)->Take("e", {0, 4}).ok());
}

TEST_F(WriteSafetensorsTest, TheSameInputGivesTheSameBytes) {
  const at::Tensor a = at::arange(4, at::kFloat);
  const at::Tensor b = at::arange(2, at::kHalf);
  const std::string other = directory_.path() + "/other.safetensors";
  ASSERT_TRUE(WriteSafetensors(path_, {{"a", a}, {"b", b}}, {}).ok());
  ASSERT_TRUE(WriteSafetensors(other, {{"b", b}, {"a", a}}, {}).ok());
  EXPECT_EQ(ReadBytes(path_), ReadBytes(other));
}

TEST_F(WriteSafetensorsTest, LeavesOnlyTheFileBehind) {
  ASSERT_TRUE(WriteSafetensors(path_, {{"a", at::arange(1, at::kFloat)}}, {}).ok());
  ASSERT_TRUE(WriteSafetensors(path_, {{"a", at::arange(2, at::kFloat)}}, {}).ok());
  EXPECT_EQ(FilesIn(directory_.path()), 1u);
  EXPECT_TRUE(StateDict::Load(path_)->Take("a", {2}).ok());
}

TEST_F(WriteSafetensorsTest, AMappedFileSurvivesBeingReplaced) {
  ASSERT_TRUE(WriteSafetensors(path_, {{"a", at::full({4}, 1.0, at::kFloat)}}, {}).ok());
  const at::Tensor before = *StateDict::Load(path_)->Take("a", {4});
  ASSERT_TRUE(WriteSafetensors(path_, {{"a", at::full({4}, 2.0, at::kFloat)}}, {}).ok());
  EXPECT_TRUE(at::equal(before, at::full({4}, 1.0, at::kFloat)));
}

TEST_F(WriteSafetensorsTest, RefusesOtherDtypesAndRepeatedNames) {
  const at::Tensor a = at::arange(1, at::kFloat);
  for (const absl::Status& status :
       {WriteSafetensors(path_, {{"a", at::arange(1, at::kDouble)}}, {}),
        WriteSafetensors(path_, {{"a", a}, {"a", a}}, {}),
        WriteSafetensors(path_, {{"__metadata__", a}}, {})}) {
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(status.message(), testing::HasSubstr(path_));
  }
  EXPECT_EQ(FilesIn(directory_.path()), 0u);
}

TEST_F(WriteSafetensorsTest, ReportsADirectoryThatIsNotThere) {
  const absl::Status status =
      WriteSafetensors(directory_.path() + "/none/a", {{"a", at::arange(1, at::kFloat)}}, {});
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace ilf
