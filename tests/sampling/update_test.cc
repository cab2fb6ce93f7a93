#include "engine/sampling/update.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/full_like.h>
#include <ATen/ops/zeros_like.h>
#include <gtest/gtest.h>

#include <limits>
#include <random>
#include <vector>

#include "engine/sampling/solver.h"

namespace ilf {
namespace {

at::Tensor Random(at::IntArrayRef shape, uint32_t seed) {
  at::Tensor tensor = at::empty(shape, at::kFloat);
  std::mt19937 engine(seed);
  std::normal_distribution<float> normal;
  float* values = tensor.mutable_data_ptr<float>();
  for (int64_t i = 0; i < tensor.numel(); ++i) values[i] = normal(engine);
  return tensor;
}

// Rows at different steps of every solver: first, inner and last ones, with and without clipping.
std::vector<PlannedStep> MixedRows() {
  const NoiseSchedule clipped = *NoiseSchedule::Create({});
  const NoiseSchedule plain = *NoiseSchedule::Create(DefaultConfigOf(SolverKind::kDpmSolverPp2m));
  const StepPlan ddim = *MakeStepPlan(clipped, SolverKind::kDdim, 10);
  const StepPlan dpm = *MakeStepPlan(plain, SolverKind::kDpmSolverPp2m, 20);
  const StepPlan euler = *MakeStepPlan(plain, SolverKind::kEuler, 10);
  return {ddim.steps[0], dpm.steps[3],  ddim.steps[9],  dpm.steps[0],  dpm.steps[19],
          dpm.steps[10], ddim.steps[5], euler.steps[0], euler.steps[9]};
}

TEST(ApplyUpdateTest, FollowsTheFormula) {
  PlannedStep step;
  step.p = 2.0;
  step.q = -1.0;
  step.clip = 1.5;
  step.a = 0.5;
  step.b = 3.0;
  step.c = 0.25;
  step.e = -2.0;
  const auto value = [](float v) { return at::full({1, 1, 1, 1}, v, at::kFloat); };
  const UpdateResult inside =
      ApplyUpdate(value(1.0f), value(1.0f), value(4.0f), StepCoefficients({step}));
  EXPECT_EQ(inside.x0.item<float>(), 1.0f);
  EXPECT_EQ(inside.x.item<float>(), 0.5f + 3.0f + 1.0f - 2.0f);
  const UpdateResult clamped =
      ApplyUpdate(value(2.0f), value(-1.0f), value(4.0f), StepCoefficients({step}));
  EXPECT_EQ(clamped.x0.item<float>(), 1.5f);
  EXPECT_EQ(clamped.x.item<float>(), 1.0f + 4.5f + 1.0f + 2.0f);
}

TEST(ApplyUpdateTest, ARowDoesNotDependOnItsBatch) {
  const std::vector<PlannedStep> rows = MixedRows();
  const int64_t count = rows.size();
  // 3 * 5 * 7 values a row: rows start at every offset within a vector register.
  const at::Tensor x = Random({count, 3, 5, 7}, 1);
  const at::Tensor output = Random({count, 3, 5, 7}, 2);
  const at::Tensor previous = Random({count, 3, 5, 7}, 3);
  const UpdateResult together = ApplyUpdate(x, output, previous, StepCoefficients(rows));
  for (int64_t i = 0; i < count; ++i) {
    const UpdateResult alone =
        ApplyUpdate(x.narrow(0, i, 1).clone(), output.narrow(0, i, 1).clone(),
                    previous.narrow(0, i, 1).clone(), StepCoefficients({rows[i]}));
    EXPECT_TRUE(at::equal(alone.x[0], together.x[i])) << "row " << i;
    EXPECT_TRUE(at::equal(alone.x0[0], together.x0[i])) << "row " << i;
  }
}

TEST(ApplyUpdateTest, HistoryThatIsNotWeighedMayHoldAnything) {
  const PlannedStep first = MixedRows()[0];
  ASSERT_EQ(first.c, 0.0);
  const at::Tensor x = Random({1, 4, 2, 2}, 1);
  const at::Tensor output = Random({1, 4, 2, 2}, 2);
  const at::Tensor coefficients = StepCoefficients({first});
  const UpdateResult clean = ApplyUpdate(x, output, at::zeros_like(x), coefficients);
  for (const float garbage :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    const UpdateResult result = ApplyUpdate(x, output, at::full_like(x, garbage), coefficients);
    EXPECT_TRUE(at::equal(result.x, clean.x));
  }
}

TEST(ApplyUpdateTest, ANanStaysInItsRow) {
  const std::vector<PlannedStep> rows = MixedRows();
  const int64_t count = rows.size();
  at::Tensor x = Random({count, 4, 2, 2}, 1);
  const at::Tensor output = Random({count, 4, 2, 2}, 2);
  const UpdateResult clean = ApplyUpdate(x, output, x, StepCoefficients(rows));
  const at::Tensor history = x.clone();
  x[2].fill_(std::numeric_limits<float>::quiet_NaN());
  const UpdateResult result = ApplyUpdate(x, output, history, StepCoefficients(rows));
  EXPECT_TRUE(result.x[2].isnan().all().item<bool>());
  for (int64_t i = 0; i < count; ++i) {
    if (i != 2) {
      EXPECT_TRUE(at::equal(result.x[i], clean.x[i])) << "row " << i;
    }
  }
}

TEST(ApplyUpdateTest, LeavesItsArgumentsAlone) {
  const at::Tensor x = Random({2, 4, 2, 2}, 1);
  const at::Tensor output = Random({2, 4, 2, 2}, 2);
  const at::Tensor previous = Random({2, 4, 2, 2}, 3);
  const std::vector<PlannedStep> rows = {MixedRows()[0], MixedRows()[1]};
  ApplyUpdate(x, output, previous, StepCoefficients(rows));
  EXPECT_TRUE(at::equal(x, Random({2, 4, 2, 2}, 1)));
  EXPECT_TRUE(at::equal(output, Random({2, 4, 2, 2}, 2)));
  EXPECT_TRUE(at::equal(previous, Random({2, 4, 2, 2}, 3)));
}

}  // namespace
}  // namespace ilf
