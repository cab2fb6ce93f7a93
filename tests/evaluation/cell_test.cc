#include "engine/evaluation/cell.h"

#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/checkpoint/json_config.h"
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
  const std::vector<Cell> cached = CachedCells(CacheableCells(schedule_, {}), {});
  cells.insert(cells.end(), cached.begin(), cached.end());
  std::set<std::string> names;
  for (const Cell& cell : cells) EXPECT_TRUE(names.insert(cell.name).second) << cell.name;
}

TEST_F(CellTest, CachesOfFewLayersAreSomeBlocksAndUnique) {
  for (const int64_t layers : {1, 2, 3, 4, 8}) {
    std::set<std::string> names;
    const std::vector<Cell> cells = CacheableCells(schedule_, {});
    for (const Cell& cell : CachedCells(cells, {.layers = layers})) {
      EXPECT_TRUE(names.insert(cell.name).second) << layers << " layers, " << cell.name;
      EXPECT_LT(cell.cache->blocks.begin, cell.cache->blocks.end) << layers << " layers";
    }
    EXPECT_EQ(names.empty(), layers < 3) << layers;
  }
}

TEST_F(CellTest, PlansKeepTheirSpacingAndTellTheirSolver) {
  const auto json = JsonConfig::FromText(
      R"({"plans": [{"steps": 4, "solver": "dpmsolver++", "spacing": "karras",
          "feedback_steps": [1], "equivalent_steps": 6}, {"steps": 4, "solver": "ddim", "feedback_steps": [1],
          "equivalent_steps": 6}]})",
      "plans");
  const auto plans = ReadFeedbackPlans(*json, schedule_);
  ASSERT_TRUE(plans.ok()) << plans.status();
  const std::vector<Cell> cells = PlanCells(schedule_, *plans, "mine");
  ASSERT_EQ(cells.size(), 4u);
  EXPECT_NE(cells[0].name, cells[2].name);
  const StepPlan measured = MakeFeedbackStepPlan(cells[0].schedule, cells[0].plan).value();
  for (size_t i = 0; i < measured.steps.size(); ++i) {
    EXPECT_EQ(measured.steps[i].timestep, plans->front().steps.steps[i].timestep);
    EXPECT_EQ(measured.steps[i].a, plans->front().steps.steps[i].a);
  }
}

TEST_F(CellTest, FittedPlainPlansAreCachedAndPlansWithFeedbackAreNot) {
  const auto json = JsonConfig::FromText(
      R"({"plans": [{"steps": 2, "solver": "dpmsolver++", "timesteps": [900, 300],
          "coefficients": [[0.5, 0.5, 0], [0, 1, 0]], "feedback_steps": [], "equivalent_steps": 2},
          {"steps": 3, "solver": "dpmsolver++", "feedback_steps": [1], "equivalent_steps": 6}]})",
      "plans");
  const auto plans = ReadFeedbackPlans(*json, schedule_);
  ASSERT_TRUE(plans.ok()) << plans.status();
  const std::vector<Cell> cells = CachedCells(PlanCells(schedule_, *plans, "mine"), {});
  ASSERT_FALSE(cells.empty());
  for (const Cell& cell : cells) {
    EXPECT_TRUE(cell.cache.has_value());
    const StepPlan steps = MakeFeedbackStepPlan(cell.schedule, cell.plan).value();
    ASSERT_EQ(steps.steps.size(), 2u) << cell.name;
    EXPECT_EQ(steps.steps[0].timestep, 900);
    EXPECT_EQ(steps.steps[0].b, 0.5);
  }
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
