#include "engine/checkpoint/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/checkpoint/test_files.h"

namespace ilf {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(SafetensorsFileTest, ReadsTensorsAndMetadata) {
  const TemporaryDirectory directory;
  const std::string path = directory.Write(
      "a.safetensors",
      SafetensorsBytes(R"({"__metadata__":{"format":"pt"},)"
                       R"("b":{"dtype":"U8","shape":[3],"data_offsets":[4,7]},)"
                       R"("a":{"dtype":"F16","shape":[1,2],"data_offsets":[0,4]}}  )",
                       "abcdxyz"));
  const auto file = SafetensorsFile::Open(path);
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ((*file)->path(), path);
  EXPECT_EQ((*file)->metadata().at("format"), "pt");
  ASSERT_EQ((*file)->tensors().size(), 2u);
  const TensorEntry& a = (*file)->tensors().at("a");
  EXPECT_EQ(a.dtype, "F16");
  EXPECT_THAT(a.shape, ElementsAre(1, 2));
  EXPECT_THAT((*file)->Data(a), ElementsAre('a', 'b', 'c', 'd'));
  EXPECT_THAT((*file)->Data((*file)->tensors().at("b")), ElementsAre('x', 'y', 'z'));
}

TEST(SafetensorsFileTest, ReadsScalarsAndEmptyTensors) {
  const TemporaryDirectory directory;
  const std::string path =
      directory.Write("a.safetensors",
                      SafetensorsBytes(R"({"s":{"dtype":"F32","shape":[],"data_offsets":[0,4]},)"
                                       R"("e":{"dtype":"F32","shape":[0,7],"data_offsets":[4,4]}})",
                                       "1234"));
  const auto file = SafetensorsFile::Open(path);
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ((*file)->Data((*file)->tensors().at("s")).size(), 4u);
  EXPECT_EQ((*file)->Data((*file)->tensors().at("e")).size(), 0u);
}

TEST(SafetensorsFileTest, AcceptsAFileWithoutTensors) {
  const TemporaryDirectory directory;
  const auto file =
      SafetensorsFile::Open(directory.Write("a.safetensors", SafetensorsBytes("{}", "")));
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_TRUE((*file)->tensors().empty());
}

TEST(SafetensorsFileTest, NamesAFileThatIsMissing) {
  const auto file = SafetensorsFile::Open("/no/such/file.safetensors");
  EXPECT_EQ(file.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(file.status().message(), HasSubstr("/no/such/file.safetensors"));
}

TEST(SafetensorsFileTest, RefusesADirectory) {
  const TemporaryDirectory directory;
  EXPECT_EQ(SafetensorsFile::Open(directory.path()).status().code(),
            absl::StatusCode::kInvalidArgument);
}

// Every prefix of a sound file is refused: no truncation goes unnoticed.
TEST(SafetensorsFileTest, RefusesEveryTruncation) {
  const TemporaryDirectory directory;
  const std::string whole =
      SafetensorsBytes(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", "12345678");
  for (size_t size = 0; size < whole.size(); ++size) {
    const auto file = SafetensorsFile::Open(directory.Write("a", whole.substr(0, size)));
    EXPECT_EQ(file.status().code(), absl::StatusCode::kInvalidArgument) << size << " bytes";
  }
  EXPECT_TRUE(SafetensorsFile::Open(directory.Write("a", whole)).ok());
}

TEST(SafetensorsFileTest, RefusesHeaderLengthsThatDoNotFit) {
  const TemporaryDirectory directory;
  for (const uint64_t length : {uint64_t{3}, kMaxSafetensorsHeaderBytes + 1, ~uint64_t{0},
                                ~uint64_t{0} - 7, uint64_t{1} << 63}) {
    const auto file = SafetensorsFile::Open(directory.Write("a", LittleEndian64(length) + "{}"));
    EXPECT_EQ(file.status().code(), absl::StatusCode::kInvalidArgument) << length;
  }
}

struct BadHeader {
  std::string name;
  std::string header;
  std::string message;
};

const BadHeader kBadHeaders[] = {
    {"Empty", "", "not JSON"},
    {"NotJson", "{", "not JSON"},
    {"TrailingText", "{} x", "not JSON"},
    {"List", "[]", "instead of an object"},
    {"Number", "1", "instead of an object"},
    {"InvalidUtf8", "{\"\xff\":{}}", "not JSON"},
    {"TensorIsNumber", R"({"a":1})", "tensor 'a' has a number"},
    {"TensorIsNull", R"({"a":null})", "tensor 'a' has null"},
    {"TensorIsList", R"({"a":[]})", "tensor 'a' has a list"},
    {"DeepNesting", R"({"a":{"shape":[[[[[[)", "tensor 'a' has a list"},
    {"NestedObject", R"({"a":{"shape":{}}})", "tensor 'a' has an object"},
    {"NoDtype", R"({"a":{"shape":[2],"data_offsets":[0,8]}})", "'a' has no dtype"},
    {"NoShape", R"({"a":{"dtype":"F32","data_offsets":[0,8]}})", "'a' has no shape"},
    {"NoOffsets", R"({"a":{"dtype":"F32","shape":[2]}})", "'a' has no data_offsets"},
    {"UnknownField", R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"x":"y"}})",
     "'a' has a string"},
    {"UnknownList", R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"x":[]}})",
     "'a' has a list"},
    {"OneOffset", R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[8]}})", "two data_offsets"},
    {"ThreeOffsets", R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4,8]}})",
     "two data_offsets"},
    {"UnknownDtype", R"({"a":{"dtype":"F33","shape":[2],"data_offsets":[0,8]}})",
     "'a' has the unknown dtype 'F33'"},
    {"DtypeIsNumber", R"({"a":{"dtype":4,"shape":[2],"data_offsets":[0,8]}})", "'a' has a number"},
    {"NegativeSize", R"({"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}})",
     "'a' has a negative number"},
    {"FractionalSize", R"({"a":{"dtype":"F32","shape":[2.0],"data_offsets":[0,8]}})",
     "'a' has a fraction"},
    {"BooleanSize", R"({"a":{"dtype":"F32","shape":[true],"data_offsets":[0,8]}})",
     "'a' has a boolean"},
    {"SizeOver63Bits", R"({"a":{"dtype":"U8","shape":[9223372036854775808],"data_offsets":[0,8]}})",
     "overflows"},
    {"SizeOver64Bits",
     R"({"a":{"dtype":"U8","shape":[18446744073709551616],"data_offsets":[0,8]}})",
     "'a' has a fraction"},
    {"ProductOverflows",
     R"({"a":{"dtype":"U8","shape":[4294967296,4294967296],"data_offsets":[0,8]}})", "overflows"},
    {"ProductWrapsToTheRightSize",
     R"({"a":{"dtype":"F32","shape":[4611686018427387906],"data_offsets":[0,8]}})", "overflows"},
    {"TooManyDimensions",
     R"({"a":{"dtype":"U8","shape":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,8],"data_offsets":[0,8]}})",
     "too long"},
    {"BeginAfterEnd", R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}})",
     "before it begins"},
    {"EndAfterData", R"({"a":{"dtype":"F32","shape":[3],"data_offsets":[0,12]}})", "truncated"},
    {"BothAfterData",
     R"({"a":{"dtype":"F32","shape":[0],"data_offsets":[18446744073709551615,18446744073709551615]}})",
     "truncated"},
    {"WrongByteCount", R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,8]}})",
     "has 8 bytes, but F32 [1] needs 4"},
    {"Overlap",
     R"({"a":{"dtype":"U8","shape":[5],"data_offsets":[0,5]},"b":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}})",
     "tensor 'b' overlaps another tensor at byte 4"},
    {"SameBytesTwice",
     R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})",
     "overlaps"},
    {"HoleAtStart", R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",
     "no tensor covers the bytes 0 to 4"},
    {"HoleAtEnd", R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})",
     "no tensor covers the last 4 bytes"},
    {"NameTwice",
     R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"a":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}})",
     "tensor 'a' occurs twice"},
    {"FieldTwice", R"({"a":{"dtype":"F32","shape":[2],"shape":[2],"data_offsets":[0,8]}})",
     "has 'shape' twice"},
    {"MetadataIsNotText", R"({"__metadata__":{"a":1}})", "'__metadata__' has a number"},
    {"MetadataIsNested", R"({"__metadata__":{"a":{}}})", "'__metadata__' has an object"},
    {"ControlCharacters", "{\"a\\n\\u0007\":1}", R"(tensor 'a\n\x07' has a number)"},
};

// One test for all, because each test case is a process of its own under ctest.
TEST(SafetensorsHeaderTest, RefusesBadHeadersWithTheReason) {
  for (const BadHeader& bad : kBadHeaders) {
    SCOPED_TRACE(bad.name);
    const auto header = ParseSafetensorsHeader(bad.header, 8, "model.safetensors");
    EXPECT_EQ(header.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(header.status().message()), testing::StartsWith("model.safetensors: "));
    EXPECT_THAT(header.status().message(), HasSubstr(bad.message));
  }
}

TEST(SafetensorsHeaderTest, ShortensLongNamesInErrors) {
  const auto header =
      ParseSafetensorsHeader("{\"" + std::string(100'000, 'n') + "\":1}", 0, "model.safetensors");
  EXPECT_LT(header.status().message().size(), 400u);
}

TEST(SafetensorsHeaderTest, KnowsTheSizeOfEveryDtype) {
  for (const char* dtype : {"BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2"}) {
    EXPECT_EQ(DtypeBytes(dtype), 1u) << dtype;
  }
  for (const char* dtype : {"U16", "I16", "F16", "BF16"}) EXPECT_EQ(DtypeBytes(dtype), 2u) << dtype;
  for (const char* dtype : {"U32", "I32", "F32"}) EXPECT_EQ(DtypeBytes(dtype), 4u) << dtype;
  for (const char* dtype : {"U64", "I64", "F64", "C64"}) EXPECT_EQ(DtypeBytes(dtype), 8u) << dtype;
  EXPECT_EQ(DtypeBytes("f32"), 0u);
}

}  // namespace
}  // namespace ilf
