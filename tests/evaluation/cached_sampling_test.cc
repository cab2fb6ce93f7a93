#include "engine/evaluation/cached_sampling.h"

#include <filesystem>
#include <string>

#include <torch/types.h>

#include <gtest/gtest.h>

#include "engine/pipeline/diffusion_model.h"
#include "engine/sampling/solver.h"
#include "engine/training/plan_fit.h"
#include "tests/training/small_model.h"

namespace ilf {
namespace {

constexpr int kSteps = 6;

class CachedSamplingTest : public ::testing::Test {
 protected:
  CachedRun Run(const CachePolicy& policy) {
    return RunCached({&model_}, MakeStepPlan(schedule_, SolverKind::kDpmSolverPp2m, kSteps).value(),
                     policy, images_, /*batch=*/4);
  }
  at::Tensor Plain() {
    return RunPlan({&model_}, schedule_, {.steps = kSteps}, images_, {}).value();
  }

  const Transformer model_ = SmallDit();
  const NoiseSchedule schedule_ =
      NoiseSchedule::Create(DefaultConfigOf(SolverKind::kDpmSolverPp2m)).value();
  const Reference images_ =
      UnsolvedReference(model_.config(), {.images = 6, .guidance_scales = {1.0, 2.0}});
};

TEST_F(CachedSamplingTest, FullStepsThroughoutAreThePlainSampler) {
  const CachedRun run = Run({CacheKind::kBlocks, 1, {1, 3}});
  EXPECT_LT(Rmse(run.latents, Plain()), 1e-5);
  EXPECT_EQ(run.block_evaluations, kSteps * 4);
}

TEST(CachedTextSamplingTest, FullStepsThroughoutAreThePlainSampler) {
  const std::string path = SmallTextModelDirectory("cached");
  const auto model = DiffusionModel::Load(path, "small", {}).value();
  const Subjects subjects = EncodePrompts(path, {"red heart", "cat"}, {}).value();
  const Reference images =
      UnsolvedReference(model->transformer().config(),
                        {.images = 4, .guidance_scales = {1.0, 2.0}, .subjects = subjects});
  const StepPlan plan = MakeStepPlan(model->schedule(), SolverKind::kDpmSolverPp2m, kSteps).value();
  const CachedRun run =
      RunCached(model->denoiser(), plan, {CacheKind::kBlocks, 1, {1, 3}}, images, /*batch=*/4);
  const at::Tensor plain =
      RunPlan(model->denoiser(), model->schedule(), {.steps = kSteps}, images, {}).value();
  EXPECT_LT(Rmse(run.latents, plain), 1e-5);
  std::filesystem::remove_all(path);
}

TEST_F(CachedSamplingTest, ReusedBlocksAreNotCounted) {
  const CachedRun run = Run({CacheKind::kBlocks, 2, {1, 4}});
  EXPECT_EQ(run.block_evaluations, 3 * 4 + 3 * 1);
  EXPECT_GT(Rmse(run.latents, Plain()), 1e-3);
}

TEST_F(CachedSamplingTest, AnEmptyRangeReusesNothing) {
  const CachedRun run = Run({CacheKind::kBlocks, 3, {2, 2}});
  EXPECT_LT(Rmse(run.latents, Plain()), 1e-5);
}

TEST_F(CachedSamplingTest, ForecastsNeedTwoFullSteps) {
  const CachedRun reused = Run({CacheKind::kBlocks, 5, {1, 3}});
  const CachedRun forecast = Run({CacheKind::kTaylor, 5, {1, 3}});
  // Steps 0 and 5 are full: until then both reuse the same.
  EXPECT_TRUE(at::equal(reused.latents, forecast.latents));
  EXPECT_FALSE(at::equal(Run({CacheKind::kBlocks, 2, {1, 3}}).latents,
                         Run({CacheKind::kTaylor, 2, {1, 3}}).latents));
}

}  // namespace
}  // namespace ilf
