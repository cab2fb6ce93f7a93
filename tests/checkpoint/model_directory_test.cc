#include "engine/checkpoint/model_directory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "absl/strings/str_cat.h"
#include "engine/checkpoint/file_hash.h"
#include "tests/checkpoint/test_files.h"

namespace ilf {
namespace {

using testing::AllOf;
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

TEST_F(ModelDirectoryTest, LooksForTheWeightsOfItsTextEncoder) {
  directory_.Write("model_index.json", R"({"text_encoder": ["transformers", "T5EncoderModel"]})");
  directory_.Write("text_encoder/config.json", "{}");
  directory_.Write("text_encoder/pytorch_model-00002-of-00002.bin", "");
  directory_.Write("text_encoder/pytorch_model-00001-of-00002.bin", "");
  EXPECT_THAT(Read().message(),
              AllOf(HasSubstr("/text_encoder/model.safetensors: no such file"),
                    HasSubstr("the pickle pytorch_model-00001-of-00002.bin beside it")));
  directory_.Write("text_encoder/model.safetensors", "");
  EXPECT_TRUE(Read().ok()) << Read();
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

// `part` has two shards, whose tensors are not in the order of the shards.
class ShardedModelDirectoryTest : public ModelDirectoryTest {
 protected:
  void Shard(const std::string& part) {
    std::filesystem::remove(PathOf(part, ""));
    Write(part, ".index.json",
          R"({"weight_map": {"a": "weights-00002-of-00002.safetensors",)"
          R"( "b": "weights-00001-of-00002.safetensors",)"
          R"( "c": "weights-00002-of-00002.safetensors"}})");
    directory_.Write(part + "/weights-00001-of-00002.safetensors", "one");
    directory_.Write(part + "/weights-00002-of-00002.safetensors", "two");
  }
  void Write(const std::string& part, const std::string& ending, const std::string& bytes) {
    directory_.Write(part + "/diffusion_pytorch_model.safetensors" + ending, bytes);
  }
  std::string PathOf(const std::string& part, const std::string& ending) const {
    return directory_.path() + "/" + part + "/diffusion_pytorch_model.safetensors" + ending;
  }
  std::string BackboneHash() const {
    const auto hash = BackboneSha256(ReadModelDirectory(directory_.path()).value());
    EXPECT_TRUE(hash.ok()) << hash.status();
    return hash.value_or("");
  }
};

TEST_F(ShardedModelDirectoryTest, TakesAnIndexAndItsShardsForTheFile) {
  for (const char* part : {"transformer", "vae"}) {
    Shard(part);
    EXPECT_TRUE(Read().ok()) << Read();
  }
}

TEST_F(ShardedModelDirectoryTest, NamesTheShardThatIsMissing) {
  for (const std::string part : {"vae", "transformer"}) {
    Shard(part);
    const std::string shard = part + "/weights-00002-of-00002.safetensors";
    std::filesystem::remove(directory_.path() + "/" + shard);
    EXPECT_EQ(Read().code(), absl::StatusCode::kNotFound);
    EXPECT_EQ(Read().message(), directory_.path() + "/" + shard + ": no such file");
  }
}

TEST_F(ShardedModelDirectoryTest, NamesTheIndexThatIsWrong) {
  Shard("transformer");
  for (const char* index : {"{", "{}", R"({"weight_map": ["a"]})", R"({"weight_map": {"a": 1}})"}) {
    Write("transformer", ".index.json", index);
    EXPECT_EQ(Read().code(), absl::StatusCode::kInvalidArgument) << index;
    EXPECT_THAT(Read().message(), HasSubstr(PathOf("transformer", ".index.json")));
  }
}

TEST_F(ShardedModelDirectoryTest, TheBackboneIsKnownByEveryShard) {
  Write("transformer", "", "whole");
  EXPECT_EQ(BackboneHash(), FileSha256(PathOf("transformer", "")).value());
  Shard("transformer");
  const std::string hash = BackboneHash();
  EXPECT_EQ(hash, Sha256(Sha256("one").value() + Sha256("two").value()).value());
  for (const char* shard : {"00001", "00002"}) {
    Shard("transformer");
    directory_.Write(absl::StrCat("transformer/weights-", shard, "-of-00002.safetensors"), "new");
    EXPECT_NE(BackboneHash(), hash) << shard;
  }
}

TEST_F(ShardedModelDirectoryTest, TheBackboneIsTheFileWhereThereIsAnIndexToo) {
  Shard("transformer");
  Write("transformer", "", "whole");
  EXPECT_EQ(BackboneHash(), Sha256("whole").value());
}

}  // namespace
}  // namespace ilf
