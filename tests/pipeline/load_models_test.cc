#include "engine/pipeline/load_models.h"

#include <filesystem>
#include <fstream>
#include <string>

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ops/randn.h>
#include <c10/core/InferenceMode.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/testing/fixture.h"
#include "tests/testing/shards.h"

namespace ilf {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

// A root of its own that holds a small model, "tiny".
class TinyModelRoot {
 public:
  TinyModelRoot()
      : path_(fs::path(::testing::TempDir()) /
              ::testing::UnitTest::GetInstance()->current_test_info()->name()) {
    fs::remove_all(path_);
    fs::create_directories(path_);
    fs::copy(ILF_SOURCE_DIR "/tests/fixtures/pipelines/ten_classes", model(),
             fs::copy_options::recursive);
  }
  ~TinyModelRoot() { fs::remove_all(path_); }

  const fs::path& path() const { return path_; }
  fs::path model() const { return path_ / "tiny"; }

 private:
  const fs::path path_;
};

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

TEST(LoadModelsTest, PassesOverWhatItCannotLookInto) {
  const TinyModelRoot root;
  fs::create_symlink("loop", root.path() / "loop");  // fails for root too, unlike a closed folder
  const absl::StatusOr<ModelsByName> models = LoadModels(root.path().string(), {});
  ASSERT_TRUE(models.ok()) << models.status();
  EXPECT_EQ(models->size(), 1u);
}

TEST(LoadModelsTest, WhatIsThrownIsOneLineThatNamesTheModel) {
  const TinyModelRoot root;
  fs::create_symlink("preview", root.model() / "preview");
  const absl::Status status = LoadModels(root.path().string(), {}).status();
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr(root.model().string()), Not(HasSubstr("\n"))));
}

TEST(LoadModelsTest, RefusesADefaultThatNoRequestMayAskFor) {
  const TinyModelRoot root;
  std::ofstream(root.model() / "generation_config.json") << R"({"guidance_scale": 31})";
  const absl::Status status = LoadModels(root.path().string(), {}).status();
  EXPECT_THAT(std::string(status.message()), HasSubstr("guidance_scale must be 1 to 30"));
}

// A picture of class 1, two steps from its noise.
at::Tensor Paint(const DiffusionModel& model) {
  const c10::InferenceMode inference;
  const TransformerConfig& config = model.transformer().config();
  const at::Tensor noise =
      at::randn({1, config.in_channels, config.sample_size, config.sample_size},
                at::make_generator<at::CPUGeneratorImpl>(/*seed=*/5));
  Trajectory image = StartTrajectory(
      ValueOrDie(MakeStepPlan(model.schedule(), SolverKind::kDdim, /*steps=*/2)), noise,
      /*condition=*/1, /*guidance_scale=*/3.0);
  for (int step = 0; step < 2; ++step) StepTogether(model.denoiser(), {&image});
  return model.autoencoder().DecodeScaled(image.x);
}

TEST(LoadModelsTest, ShardsPaintWhatTheirFilePaints) {
  const TinyModelRoot root;
  const fs::path sharded = root.path() / "sharded";
  fs::copy(root.model(), sharded, fs::copy_options::recursive);
  for (const char* part : {"transformer", "vae"}) {
    SplitIntoShards((sharded / part).string(), "diffusion_pytorch_model");
  }
  const absl::StatusOr<ModelsByName> models = LoadModels(root.path().string(), {});
  ASSERT_TRUE(models.ok()) << models.status();
  constexpr double kBound = 1e-5;  // products of weights that lie elsewhere in memory
  EXPECT_LE(MaxError(Paint(*models->at("sharded")), Paint(*models->at("tiny"))), kBound);
}

TEST(LoadModelsTest, NamesTheShardThatIsMissing) {
  const TinyModelRoot root;
  const std::string shard =
      SplitIntoShards((root.model() / "transformer").string(), "diffusion_pytorch_model").back();
  fs::remove(shard);
  const absl::Status status = LoadModels(root.path().string(), {}).status();
  EXPECT_THAT(std::string(status.message()), HasSubstr(shard + ": no such file"));
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
