// The trainers, end to end on a few tiny pictures: what they write is a model that loads.
#include <atomic>
#include <filesystem>
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

TEST(TrainersTest, WriteAModelDirectoryThatLoads) {
  const std::string data = SmallDataset("trainers", 16, 16);
  const std::string model = ModelWithVae("trained", data);
  const std::atomic<bool> stop{false};
  BaseTrainingOptions base;
  base.data = data;
  base.image_size = 16;
  base.config.num_layers = 2;
  base.config.num_attention_heads = 2;
  base.config.attention_head_dim = 8;
  base.loop = ShortLoop(model);
  ASSERT_TRUE(TrainBase(base, stop).ok());

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
  text.base.data = data;
  text.base.image_size = 16;
  text.base.config.num_layers = 2;
  text.base.config.num_attention_heads = 2;
  text.base.config.attention_head_dim = 8;
  text.base.loop = ShortLoop(model);
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
