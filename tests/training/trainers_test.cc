// The trainers, end to end on a few tiny pictures: what they write is a model that loads.
#include <atomic>
#include <filesystem>
#include <string>

#include <gtest/gtest.h>

#include "engine/pipeline/diffusion_model.h"
#include "engine/training/base_trainer.h"
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

TEST(TrainersTest, WriteAModelDirectoryThatLoads) {
  const std::string data = SmallDataset("trainers", 16, 16);
  const std::string model = ::testing::TempDir() + "/trained";
  std::filesystem::remove_all(model);
  const std::atomic<bool> stop{false};

  VaeTrainingOptions vae;
  vae.data = data;
  vae.image_size = 16;
  vae.config.block_out_channels = {8, 8};
  vae.config.norm_num_groups = 4;
  vae.loop = ShortLoop(model);
  ASSERT_TRUE(TrainVae(vae, stop).ok());

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

TEST(TrainersTest, RefuseDataThatIsNotThere) {
  VaeTrainingOptions vae;
  vae.data = "/nowhere";
  vae.loop = ShortLoop(::testing::TempDir() + "/never");
  const std::atomic<bool> stop{false};
  EXPECT_TRUE(absl::IsNotFound(TrainVae(vae, stop)));
}

}  // namespace
}  // namespace ilf
