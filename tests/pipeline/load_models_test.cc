#include "engine/pipeline/load_models.h"

#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ilf {
namespace {

using ::testing::HasSubstr;

TEST(ParseDeviceTest, KnowsTheCpu) {
  const absl::StatusOr<c10::Device> device = ParseDevice("cpu");
  ASSERT_TRUE(device.ok());
  EXPECT_TRUE(device->is_cpu());
}

TEST(ParseDeviceTest, RefusesWhatIsNotThere) {
  for (const char* name : {"", "gpu", "cuda:x", "cuda:99", "cpu:"}) {
    const absl::StatusOr<c10::Device> device = ParseDevice(name);
    EXPECT_TRUE(absl::IsInvalidArgument(device.status())) << name;
    EXPECT_THAT(std::string(device.status().message()), HasSubstr("device '"));
  }
}

TEST(ChooseExecutionTest, TakesTheDtypeByName) {
  EXPECT_EQ(ChooseExecution(c10::kCPU, "float32", true)->dtype, at::kFloat);
  EXPECT_EQ(ChooseExecution(c10::kCPU, "bfloat16", true)->dtype, at::kBFloat16);
  EXPECT_TRUE(absl::IsInvalidArgument(ChooseExecution(c10::kCPU, "int8", true).status()));
}

TEST(ChooseExecutionTest, AutoFollowsTheHardware) {
  EXPECT_EQ(ChooseExecution(c10::kCPU, "auto", true)->dtype,
            IsFastAtBfloat16(c10::kCPU) ? at::kBFloat16 : at::kFloat);
}

TEST(LoadModelsTest, NamesARootWithoutModels) {
  const std::string root = ::testing::TempDir() + "/no_models";
  std::filesystem::create_directories(root + "/something_else");
  const absl::StatusOr<ModelsByName> models = LoadModels(root, {});
  EXPECT_TRUE(absl::IsNotFound(models.status()));
  EXPECT_THAT(std::string(models.status().message()), HasSubstr(root));
  EXPECT_TRUE(absl::IsNotFound(LoadModels("/nowhere", {}).status()));
}

TEST(LoadModelsTest, ServesAFolderUnderItsName) {
  const absl::StatusOr<ModelsByName> models = LoadModels(ILF_SOURCE_DIR "/models", {});
  ASSERT_TRUE(models.ok()) << models.status();
  ASSERT_EQ(models->count("fashion-dit"), 1u);
  const ModelInfo& info = models->at("fashion-dit")->info();
  EXPECT_EQ(info.labels.size(), 10u);
  EXPECT_EQ(info.blocks, 28);
  EXPECT_EQ(info.default_size.width, 32);
  EXPECT_EQ(info.default_steps, 20);
  EXPECT_DOUBLE_EQ(info.default_guidance_scale, 2.0);
}

}  // namespace
}  // namespace ilf
