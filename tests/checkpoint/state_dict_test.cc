#include "engine/checkpoint/state_dict.h"
#include "absl/strings/str_cat.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <utility>

#include "ATen/ops/ones.h"
#include "c10/core/ScalarType.h"
#include "tests/checkpoint/test_files.h"

namespace ilf {
namespace {

using testing::HasSubstr;

std::string FloatBytes(std::vector<float> values) {
  return std::string(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float));
}

StateDict LoadOrDie(const std::string& path) {
  auto dict = StateDict::Load(path);
  EXPECT_TRUE(dict.ok()) << dict.status();
  return *std::move(dict);
}

class StateDictTest : public testing::Test {
 protected:
  const TemporaryDirectory directory_;
  const std::string path_ = directory_.Write(
      "model.safetensors",
      SafetensorsBytes(R"({"w":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]},)"
                       R"("step":{"dtype":"I64","shape":[],"data_offsets":[8,16]}}      )",
                       FloatBytes({1.5f, -2.0f}) + LittleEndian64(7)));
};

TEST_F(StateDictTest, TakesATensorWithTheExpectedShape) {
  StateDict dict = LoadOrDie(path_);
  EXPECT_TRUE(dict.Has("w"));
  EXPECT_FALSE(dict.Has("v"));
  const auto tensor = dict.Take("w", {1, 2});
  ASSERT_TRUE(tensor.ok()) << tensor.status();
  EXPECT_EQ(tensor->scalar_type(), at::kFloat);
  EXPECT_EQ(tensor->sizes(), at::IntArrayRef({1, 2}));
  EXPECT_EQ(tensor->const_data_ptr<float>()[0], 1.5f);
  EXPECT_EQ(tensor->const_data_ptr<float>()[1], -2.0f);
}

TEST_F(StateDictTest, TensorsOutliveTheDictAndTheFile) {
  at::Tensor tensor;
  {
    StateDict dict = LoadOrDie(path_);
    tensor = *dict.Take("w", {1, 2});
  }
  std::filesystem::remove(path_);
  EXPECT_EQ(tensor.const_data_ptr<float>()[1], -2.0f);
}

TEST_F(StateDictTest, NamesFileTensorAndShapeOfAMissingTensor) {
  StateDict dict = LoadOrDie(path_);
  const absl::Status status = dict.Take("blocks.0.w", {3, 4}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(status.message(), path_ + ": no tensor 'blocks.0.w' (expected [3, 4])");
  EXPECT_EQ(dict.Shape("blocks.0.w").status().code(), absl::StatusCode::kNotFound);
}

TEST_F(StateDictTest, NamesBothShapesWhenTheyDiffer) {
  StateDict dict = LoadOrDie(path_);
  const absl::Status status = dict.Take("w", {2, 1}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(), path_ + ": tensor 'w' is [1, 2], expected [2, 1]");
}

TEST_F(StateDictTest, RefusesIntegersOnlyWhenTheyAreTaken) {
  StateDict dict = LoadOrDie(path_);
  const absl::Status status = dict.Take("step", {}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(status.message(), HasSubstr("tensor 'step' is I64"));
}

TEST_F(StateDictTest, ListsWhatWasNeitherTakenNorIgnored) {
  StateDict dict = LoadOrDie(path_);
  EXPECT_THAT(dict.CheckAllConsumed().message(), HasSubstr("2 tensor(s)"));
  ASSERT_TRUE(dict.Take("w", {1, 2}).ok());
  EXPECT_THAT(std::string(dict.CheckAllConsumed().message()), testing::EndsWith("not use: step"));
  dict.Ignore("step");
  dict.Ignore("no such tensor");
  EXPECT_TRUE(dict.CheckAllConsumed().ok());
}

TEST_F(StateDictTest, ARefusedTakeDoesNotConsume) {
  StateDict dict = LoadOrDie(path_);
  dict.Ignore("step");
  EXPECT_FALSE(dict.Take("w", {2}).ok());
  EXPECT_FALSE(dict.CheckAllConsumed().ok());
}

TEST_F(StateDictTest, CopiesDataThatIsNotAligned) {
  const std::string path =
      directory_.Write("odd.safetensors",
                       SafetensorsBytes(R"({"b":{"dtype":"BOOL","shape":[1],"data_offsets":[0,1]},)"
                                        R"("w":{"dtype":"F32","shape":[2],"data_offsets":[1,9]}})",
                                        "\x01" + FloatBytes({0.25f, 4.0f})));
  StateDict dict = LoadOrDie(path);
  const auto tensor = dict.Take("w", {2});
  ASSERT_TRUE(tensor.ok()) << tensor.status();
  EXPECT_EQ(reinterpret_cast<uintptr_t>(tensor->const_data_ptr()) % alignof(float), 0u);
  EXPECT_EQ(tensor->const_data_ptr<float>()[0], 0.25f);
  EXPECT_EQ(tensor->const_data_ptr<float>()[1], 4.0f);
}

TEST_F(StateDictTest, TakesEmptyTensors) {
  const std::string path = directory_.Write(
      "empty.safetensors",
      SafetensorsBytes(R"({"e":{"dtype":"BF16","shape":[0,3],"data_offsets":[0,0]}})", ""));
  StateDict dict = LoadOrDie(path);
  const auto tensor = dict.Take("e", {0, 3});
  ASSERT_TRUE(tensor.ok()) << tensor.status();
  EXPECT_EQ(tensor->scalar_type(), at::kBFloat16);
  EXPECT_EQ(tensor->numel(), 0);
}

// One tensor of one float.
std::string FileWith(const std::string& tensor, float value) {
  return SafetensorsBytes(
      absl::StrCat("{\"", tensor, "\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}"),
      FloatBytes({value}));
}

class ShardedStateDictTest : public testing::Test {
 protected:
  void WriteIndex(const std::string& weight_map) {
    directory_.Write("model.safetensors.index.json",
                     absl::StrCat("{\"metadata\": {}, \"weight_map\": {", weight_map, "}}"));
  }
  absl::StatusOr<StateDict> Load() { return StateDict::LoadFolder(directory_.path(), "model"); }
  std::string Error() { return std::string(Load().status().message()); }

  TemporaryDirectory directory_;
};

TEST_F(ShardedStateDictTest, HoldsTheTensorsOfEveryShard) {
  directory_.Write("one.safetensors", FileWith("a", 1.0f));
  directory_.Write("two.safetensors", FileWith("b", 2.0f));
  WriteIndex(R"("a": "one.safetensors", "b": "two.safetensors")");
  absl::StatusOr<StateDict> dict = Load();
  ASSERT_TRUE(dict.ok()) << dict.status();
  EXPECT_EQ(dict->Take("a", {1})->item<float>(), 1.0f);
  EXPECT_EQ(dict->Take("b", {1})->item<float>(), 2.0f);
  EXPECT_TRUE(dict->CheckAllConsumed().ok());
}

TEST_F(ShardedStateDictTest, OneFileGoesBeforeAnIndex) {
  directory_.Write("model.safetensors", FileWith("whole", 3.0f));
  WriteIndex(R"("a": "absent.safetensors")");
  absl::StatusOr<StateDict> dict = Load();
  ASSERT_TRUE(dict.ok()) << dict.status();
  EXPECT_TRUE(dict->Has("whole"));
}

TEST_F(ShardedStateDictTest, ErrorsNameWhatIsMissing) {
  EXPECT_THAT(Error(), HasSubstr("model.safetensors"));
  WriteIndex(R"("a": "absent.safetensors")");
  EXPECT_THAT(Error(), HasSubstr("absent.safetensors"));
  directory_.Write("one.safetensors", FileWith("a", 1.0f));
  WriteIndex(R"("a": "one.safetensors", "b": "one.safetensors")");
  EXPECT_THAT(Error(), HasSubstr("places tensor 'b' in one.safetensors, which does not hold it"));
  WriteIndex(R"("b": "one.safetensors")");
  EXPECT_THAT(Error(), HasSubstr("does not place tensor 'a' in one.safetensors"));
  WriteIndex(R"("a": "../one.safetensors")");
  EXPECT_THAT(Error(), HasSubstr("must be a file of the same folder"));
}

TEST(StateDictInMemoryTest, HoldsGivenTensors) {
  StateDict dict({{"a", at::ones({2, 3})}, {"n", at::ones({1}, at::kLong)}}, "memory");
  EXPECT_EQ(dict.origin(), "memory");
  EXPECT_TRUE(dict.Take("a", {2, 3}).ok());
  EXPECT_EQ(*dict.Shape("a"), (std::vector<int64_t>{2, 3}));
  EXPECT_THAT(dict.Take("n", {1}).status().message(), HasSubstr("memory: tensor 'n' is Long"));
}

}  // namespace
}  // namespace ilf
