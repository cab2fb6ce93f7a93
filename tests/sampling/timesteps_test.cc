#include "engine/sampling/timesteps.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ilf {
namespace {

using ::testing::ElementsAre;

NoiseScheduleConfig Spaced(TimestepSpacing spacing, int offset = 0) {
  NoiseScheduleConfig config;
  config.timestep_spacing = spacing;
  config.steps_offset = offset;
  return config;
}

std::vector<int> Timesteps(TimestepSpacing spacing, SpacingRule rule, int steps, int offset = 0) {
  const auto timesteps = SpacedTimesteps(Spaced(spacing, offset), rule, 1000, steps);
  EXPECT_TRUE(timesteps.ok()) << timesteps.status();
  return timesteps.value_or(std::vector<int>());
}

// The lists below are diffusers 0.42.1's.

TEST(SpacedTimestepsTest, DdimLeadingEndsAtTheOffset) {
  EXPECT_THAT(Timesteps(TimestepSpacing::kLeading, SpacingRule::kDdim, 4),
              ElementsAre(750, 500, 250, 0));
  EXPECT_THAT(Timesteps(TimestepSpacing::kLeading, SpacingRule::kDdim, 3, 1),
              ElementsAre(667, 334, 1));
}

TEST(SpacedTimestepsTest, DdimLinspaceCoversTheWholeSchedule) {
  EXPECT_THAT(Timesteps(TimestepSpacing::kLinspace, SpacingRule::kDdim, 4),
              ElementsAre(999, 666, 333, 0));
  EXPECT_THAT(Timesteps(TimestepSpacing::kLinspace, SpacingRule::kDdim, 1), ElementsAre(0));
}

TEST(SpacedTimestepsTest, DpmSolverLeavesTheLowestTimestepOut) {
  EXPECT_THAT(Timesteps(TimestepSpacing::kLinspace, SpacingRule::kDpmSolver, 4),
              ElementsAre(999, 749, 500, 250));
  EXPECT_THAT(Timesteps(TimestepSpacing::kLeading, SpacingRule::kDpmSolver, 4, 1),
              ElementsAre(801, 601, 401, 201));
}

TEST(SpacedTimestepsTest, HalvesRoundToTheEvenTimestep) {
  // linspace(0, 999, 3) = 0, 499.5, 999 and arange(1000, 0, -62.5) = 1000, 937.5, ...
  EXPECT_THAT(Timesteps(TimestepSpacing::kLinspace, SpacingRule::kDpmSolver, 2),
              ElementsAre(999, 500));
  EXPECT_THAT(
      Timesteps(TimestepSpacing::kTrailing, SpacingRule::kDdim, 16),
      ElementsAre(999, 937, 874, 811, 749, 687, 624, 561, 499, 437, 374, 311, 249, 187, 124, 61));
}

TEST(SpacedTimestepsTest, EveryStepCountOfTrailingSpacingStaysInTheSchedule) {
  for (int steps = 1; steps <= 1000; ++steps) {
    const std::vector<int> timesteps =
        Timesteps(TimestepSpacing::kTrailing, SpacingRule::kDpmSolver, steps);
    ASSERT_EQ(static_cast<int>(timesteps.size()), steps);
    ASSERT_EQ(timesteps.front(), 999);
    ASSERT_GE(timesteps.back(), 0) << steps << " steps";
  }
}

TEST(SpacedTimestepsTest, RefusesWhatTheScheduleCannotHold) {
  const auto code = [](TimestepSpacing spacing, SpacingRule rule, int steps, int offset) {
    return SpacedTimesteps(Spaced(spacing, offset), rule, 1000, steps).status().code();
  };
  const auto invalid = absl::StatusCode::kInvalidArgument;
  EXPECT_EQ(code(TimestepSpacing::kLeading, SpacingRule::kDdim, 0, 0), invalid);
  EXPECT_EQ(code(TimestepSpacing::kLeading, SpacingRule::kDdim, 1001, 0), invalid);
  EXPECT_EQ(code(TimestepSpacing::kLeading, SpacingRule::kDdim, 1000, 1), invalid);
  EXPECT_EQ(code(TimestepSpacing::kLinspace, SpacingRule::kDpmSolver, 1000, 0), invalid);
}

TEST(SpacedTimestepsTest, RefusesTrailingSpacingOfPartOfTheSchedule) {
  const auto timesteps =
      SpacedTimesteps(Spaced(TimestepSpacing::kTrailing), SpacingRule::kDpmSolver, 900, 10);
  EXPECT_EQ(timesteps.status().code(), absl::StatusCode::kUnimplemented);
}

}  // namespace
}  // namespace ilf
