#include "engine/checkpoint/model_directory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "tests/checkpoint/test_files.h"

namespace ilf {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class ModelDirectoryTest : public testing::Test {
 protected:
  ModelDirectoryTest() {
    directory_.Write("model_index.json", R"({"id2label": {"1": "shirt", "0": "trouser, jeans"}})");
    directory_.Write("transformer/config.json", R"({"num_layers": 2})");
    directory_.Write("transformer/diffusion_pytorch_model.safetensors", "");
    directory_.Write("vae/config.json", "{}");
    directory_.Write("vae/diffusion_pytorch_model.safetensors", "");
    directory_.Write("scheduler/scheduler_config.json", R"({"lambda_min_clipped": -Infinity})");
  }

  absl::Status Read() const { return ReadModelDirectory(directory_.path()).status(); }

  const TemporaryDirectory directory_;
};

TEST_F(ModelDirectoryTest, ReadsConfigsAndLabelsByIndex) {
  const auto model = ReadModelDirectory(directory_.path());
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ(*model->transformer.GetInt("num_layers"), 2);
  EXPECT_TRUE(model->scheduler.Has("lambda_min_clipped"));
  EXPECT_THAT(model->labels, ElementsAre("trouser, jeans", "shirt"));
  EXPECT_EQ(model->TransformerWeights(),
            directory_.path() + "/transformer/diffusion_pytorch_model.safetensors");
  EXPECT_EQ(model->VaeWeights(), directory_.path() + "/vae/diffusion_pytorch_model.safetensors");
}

TEST_F(ModelDirectoryTest, HasNoLabelsWithoutId2label) {
  directory_.Write("model_index.json", "{}");
  const auto model = ReadModelDirectory(directory_.path());
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_TRUE(model->labels.empty());
}

TEST_F(ModelDirectoryTest, NamesEveryFileThatIsMissing) {
  for (const char* file :
       {"model_index.json", "transformer/config.json", "vae/config.json",
        "scheduler/scheduler_config.json", "transformer/diffusion_pytorch_model.safetensors",
        "vae/diffusion_pytorch_model.safetensors"}) {
    const std::filesystem::path path = std::filesystem::path(directory_.path()) / file;
    std::filesystem::rename(path, path.string() + ".away");
    const absl::Status status = Read();
    EXPECT_EQ(status.code(), absl::StatusCode::kNotFound) << file;
    EXPECT_THAT(status.message(), HasSubstr(path.string()));
    EXPECT_THAT(std::string(status.message()), testing::Not(HasSubstr("\n")));
    std::filesystem::rename(path.string() + ".away", path);
  }
  EXPECT_TRUE(Read().ok());
}

TEST_F(ModelDirectoryTest, SaysThatAPickleIsNeverLoaded) {
  std::filesystem::remove(directory_.path() + "/vae/diffusion_pytorch_model.safetensors");
  directory_.Write("vae/diffusion_pytorch_model.bin", "");
  EXPECT_THAT(Read().message(), HasSubstr("never loaded"));
}

TEST_F(ModelDirectoryTest, RefusesLabelsThatAreNotDense) {
  for (const char* labels :
       {R"({"0": "a", "2": "b"})", R"({"00": "a"})", R"({"a": "b"})", R"({"0": 1})", "[]"}) {
    directory_.Write("model_index.json", std::string(R"({"id2label": )") + labels + "}");
    EXPECT_EQ(Read().code(), absl::StatusCode::kInvalidArgument) << labels;
    EXPECT_THAT(Read().message(), HasSubstr("id2label")) << labels;
  }
}

TEST_F(ModelDirectoryTest, NamesTheConfigThatIsNotJson) {
  directory_.Write("vae/config.json", "{\"a\": \n");
  EXPECT_EQ(Read().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(Read().message(), HasSubstr("/vae/config.json"));
  EXPECT_THAT(std::string(Read().message()), testing::Not(HasSubstr("\n")));
}

TEST_F(ModelDirectoryTest, NamesADirectoryThatIsMissing) {
  const absl::Status status = ReadModelDirectory("/no/such/model").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(status.message(), HasSubstr("/no/such/model"));
}

}  // namespace
}  // namespace ilf
