#include "engine/evaluation/cell.h"

#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/sampling/solver.h"

namespace ilf {
namespace {

class CellTest : public ::testing::Test {
 protected:
  const NoiseSchedule schedule_ =
      NoiseSchedule::Create(DefaultConfigOf(SolverKind::kDpmSolverPp2m)).value();
};

TEST_F(CellTest, NamesAreUnique) {
  std::vector<Cell> cells = PlainCells(schedule_, {});
  const std::vector<Cell> cached = CachedCells(schedule_, {});
  cells.insert(cells.end(), cached.begin(), cached.end());
  std::set<std::string> names;
  for (const Cell& cell : cells) EXPECT_TRUE(names.insert(cell.name).second) << cell.name;
}

TEST_F(CellTest, TheModelItselfIsJudgedAtBaseSteps) {
  std::vector<std::string> names;
  for (const Cell& cell : PlainCells(schedule_, {.steps = {}, .base_steps = {50}}))
    names.push_back(cell.name);
  EXPECT_THAT(names, testing::ElementsAre("dpmsolver++ linspace 50", "dpmsolver++ log_snr 50"));
}

TEST_F(CellTest, PlansOfEveryPlainCellCanBeMade) {
  for (const Cell& cell : PlainCells(schedule_, {})) {
    const auto plan = MakeFeedbackStepPlan(cell.schedule, cell.plan);
    ASSERT_TRUE(plan.ok()) << cell.name << ": " << plan.status();
    EXPECT_EQ(plan->steps.size(), static_cast<size_t>(cell.plan.steps)) << cell.name;
  }
}

}  // namespace
}  // namespace ilf
