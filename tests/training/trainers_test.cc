// The trainers, end to end on a few tiny pictures: what they write is a model that loads.
#include <atomic>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/pipeline/diffusion_model.h"
#include "engine/training/base_trainer.h"
#include "engine/training/text_base_trainer.h"
#include "engine/training/vae_trainer.h"
#include "tests/training/small_dataset.h"

namespace ilf {
namespace {

TrainingOptions ShortLoop(const std::string& model) {
  TrainingOptions loop;
  loop.output = model;
  loop.steps = 3;
  loop.batch_size = 4;
  loop.warmup_steps = 1;
  return loop;
}

// A model directory with a tiny autoencoder.
std::string ModelWithVae(const std::string& name, const std::string& data) {
  const std::string model = ::testing::TempDir() + "/" + name;
  std::filesystem::remove_all(model);
  const std::atomic<bool> stop{false};
  VaeTrainingOptions vae;
  vae.data = data;
  vae.image_size = 16;
  vae.config.block_out_channels = {8, 8};
  vae.config.norm_num_groups = 4;
  vae.loop = ShortLoop(model);
  EXPECT_TRUE(TrainVae(vae, stop).ok());
  return model;
}

BaseTrainingOptions SmallBase(const std::string& model, const std::string& data) {
  BaseTrainingOptions base;
  base.data = data;
  base.image_size = 16;
  base.config.num_layers = 2;
  base.config.num_attention_heads = 2;
  base.config.attention_head_dim = 8;
  base.loop = ShortLoop(model);
  return base;
}

TEST(TrainersTest, WriteAModelDirectoryThatLoads) {
  const std::string data = SmallDataset("trainers", 16, 16);
  const std::string model = ModelWithVae("trained", data);
  const std::atomic<bool> stop{false};
  ASSERT_TRUE(TrainBase(SmallBase(model, data), stop).ok());

  const absl::StatusOr<std::shared_ptr<const DiffusionModel>> loaded =
      DiffusionModel::Load(model, "trained", {});
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ((*loaded)->info().labels.size(), 2u);
  EXPECT_EQ((*loaded)->info().default_size.width, 16);
  EXPECT_EQ((*loaded)->info().default_solver, Solver::kDpmSolverPp2m);
  EXPECT_TRUE(std::filesystem::exists(model + "/training/base/step_00000003.png"));
  EXPECT_TRUE(std::filesystem::exists(model + "/training/vae/step_00000003.png"));
}

TextBaseTrainingOptions SmallTextModel(const std::string& model, const std::string& data) {
  TextBaseTrainingOptions text;
  text.base = SmallBase(model, data);
  text.tokenizer = ILF_SOURCE_DIR "/tests/fixtures/tokenizers/current";
  text.text_encoder.num_layers = 1;
  text.text_encoder.num_heads = 2;
  text.text_encoder.d_model = 16;
  text.text_encoder.d_kv = 8;
  text.text_encoder.d_ff = 32;
  return text;
}

TEST(TrainersTest, WriteATextModelThatReadsPrompts) {
  const std::string data = SmallCaptionedDataset("text_trainer", 8, 16);
  const std::string model = ModelWithVae("trained_text", data);
  const std::atomic<bool> stop{false};
  const absl::Status status = TrainTextBase(SmallTextModel(model, data), stop);
  ASSERT_TRUE(status.ok()) << status;

  const absl::StatusOr<std::shared_ptr<const DiffusionModel>> loaded =
      DiffusionModel::Load(model, "trained", {});
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_TRUE((*loaded)->info().accepts_prompt);
  EXPECT_FALSE((*loaded)->info().accepts_labels);
  EXPECT_EQ((*loaded)->info().architecture, "PixArt-Sigma");
  EXPECT_EQ((*loaded)->info().default_guidance_scale, 4.5);
  ASSERT_NE((*loaded)->prompt_reader(), nullptr);
  EXPECT_TRUE((*loaded)->prompt_reader()->Tokenize("picture 3").ok());
  EXPECT_TRUE(std::filesystem::exists(model + "/training/base/step_00000003.png"));
}

std::string Bytes(const std::string& file) {
  std::ifstream in(file, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(in), {});
}

// A run from `options` that learns nothing must write what it started from.
TextBaseTrainingOptions GoOnWithoutLearning(TextBaseTrainingOptions options,
                                            const std::string& model) {
  options.base.initial_model = options.base.loop.output;
  options.base.loop.output = model;
  options.base.loop.seed = 5;
  options.base.loop.learning_rate = 0.0;
  options.base.save_dtype = at::kFloat;
  return options;
}

TEST(TrainersTest, GoOnFromTheWeightsOfATextModel) {
  const std::string data = SmallCaptionedDataset("text_trainer_first", 8, 16);
  const std::atomic<bool> stop{false};
  TextBaseTrainingOptions first = SmallTextModel(ModelWithVae("text_first", data), data);
  first.base.save_dtype = at::kFloat;
  ASSERT_TRUE(TrainTextBase(first, stop).ok());
  const TextBaseTrainingOptions second =
      GoOnWithoutLearning(first, ModelWithVae("text_second", data));
  const absl::Status status = TrainTextBase(second, stop);
  ASSERT_TRUE(status.ok()) << status;
  for (const char* file :
       {"/transformer/diffusion_pytorch_model.safetensors", "/text_encoder/model.safetensors"}) {
    const std::string before = Bytes(first.base.loop.output + file);
    EXPECT_FALSE(before.empty());
    EXPECT_TRUE(before == Bytes(second.base.loop.output + file)) << file;
  }
}

TEST(TrainersTest, GoOnFromTheWeightsOfADit) {
  const std::string data = SmallDataset("dit_first", 8, 16);
  const std::atomic<bool> stop{false};
  TextBaseTrainingOptions first;
  first.base = SmallBase(ModelWithVae("dit_first", data), data);
  first.base.save_dtype = at::kFloat;
  ASSERT_TRUE(TrainBase(first.base, stop).ok());
  const BaseTrainingOptions second =
      GoOnWithoutLearning(first, ModelWithVae("dit_second", data)).base;
  const absl::Status status = TrainBase(second, stop);
  ASSERT_TRUE(status.ok()) << status;
  const char* file = "/transformer/diffusion_pytorch_model.safetensors";
  const std::string before = Bytes(first.base.loop.output + file);
  EXPECT_FALSE(before.empty());
  EXPECT_TRUE(before == Bytes(second.loop.output + file));
}

TEST(TrainersTest, RefuseToGoOnFromAModelOfAnotherSize) {
  const std::string data = SmallDataset("dit_sizes", 8, 16);
  const std::atomic<bool> stop{false};
  BaseTrainingOptions base = SmallBase(ModelWithVae("dit_sizes", data), data);
  ASSERT_TRUE(TrainBase(base, stop).ok());
  base.initial_model = base.loop.output;
  base.loop.resume = false;
  base.config.num_layers = 1;
  const absl::Status fewer = TrainBase(base, stop);
  EXPECT_TRUE(absl::IsInvalidArgument(fewer)) << fewer;
  EXPECT_THAT(std::string(fewer.message()), ::testing::HasSubstr("transformer_blocks.1."));
  base.config.num_layers = 3;
  const absl::Status more = TrainBase(base, stop);
  EXPECT_TRUE(absl::IsNotFound(more)) << more;
  EXPECT_THAT(std::string(more.message()), ::testing::HasSubstr("transformer_blocks.2."));
}

TEST(TrainersTest, ATextModelNeedsCaptions) {
  const std::string data = SmallDataset("text_trainer_labels", 8, 16);
  const std::string model = ModelWithVae("trained_text_labels", data);
  const std::atomic<bool> stop{false};
  EXPECT_THAT(std::string(TrainTextBase(SmallTextModel(model, data), stop).message()),
              ::testing::HasSubstr("picture 0 has no \"text\""));
}

TEST(TrainersTest, RefuseDataThatIsNotThere) {
  VaeTrainingOptions vae;
  vae.data = "/nowhere";
  vae.loop = ShortLoop(::testing::TempDir() + "/never");
  const std::atomic<bool> stop{false};
  EXPECT_TRUE(absl::IsNotFound(TrainVae(vae, stop)));
}

}  // namespace
}  // namespace ilf
