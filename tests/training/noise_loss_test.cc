// What errors at the noise levels count while a base model learns.
#include "engine/training/noise_loss.h"

#include <torch/types.h>

#include <gtest/gtest.h>

#include "engine/sampling/solver.h"

namespace ilf {
namespace {

class NoiseLevelsTest : public ::testing::Test {
 protected:
  NoiseLevels Levels(const WeightingOptions& weighting) {
    return NoiseLevelsOf(schedule_, weighting, at::kCPU);
  }
  static at::Tensor Snr(const NoiseLevels& levels) {
    return (levels.signal / levels.noise).square();
  }

  const NoiseSchedule schedule_ =
      NoiseSchedule::Create(DefaultConfigOf(SolverKind::kDpmSolverPp2m)).value();
};

TEST_F(NoiseLevelsTest, KeepTheVariance) {
  const NoiseLevels levels = Levels({});
  EXPECT_TRUE(at::allclose(levels.signal.square() + levels.noise.square(),
                           at::ones_like(levels.signal), 0, 1e-6));
}

TEST_F(NoiseLevelsTest, MinSnrCountsNoisyLevelsAlikeAndClearOnesByTheirPictures) {
  const NoiseLevels levels = Levels({LossWeighting::kMinSnr, /*snr_gamma=*/5});
  const at::Tensor snr = Snr(levels);
  const at::Tensor expected = at::where(snr < 5, at::ones_like(snr), 5 / snr);
  EXPECT_TRUE(at::allclose(levels.weight, expected, 1e-4));
  EXPECT_TRUE(at::equal(Levels({LossWeighting::kMinSnr, 0}).weight, at::ones_like(snr)));
}

// The error of the picture, (x - noise * eps) / signal, is that of eps divided by sqrt(SNR).
TEST_F(NoiseLevelsTest, DebiasedCountsErrorsByWhatTheyDoToThePicture) {
  const NoiseLevels levels = Levels({LossWeighting::kDebiased});
  EXPECT_TRUE(
      at::allclose(levels.weight.square() * Snr(levels), at::ones_like(levels.weight), 1e-3));
  EXPECT_GT(levels.weight[999].item<float>(), 100 * levels.weight[250].item<float>());
}

}  // namespace
}  // namespace ilf
