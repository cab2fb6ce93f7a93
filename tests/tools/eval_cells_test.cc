#include "tools/eval_cells.h"

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/training/small_model.h"

namespace ilf {
namespace {

using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class EvalCellsTest : public ::testing::Test {
 protected:
  EvalCellsTest() {
    options_.model = root_;
    options_.cached = false;
  }
  ~EvalCellsTest() override { std::filesystem::remove_all(root_); }

  std::vector<std::string> Names() const {
    const std::vector<Cell> cells = MakeCells(options_, *model_).value();
    std::vector<std::string> names;
    for (const Cell& cell : cells) names.push_back(cell.name);
    return names;
  }

  const std::string root_ = SmallModelDirectory("eval_cells");
  const std::shared_ptr<const DiffusionModel> model_ =
      DiffusionModel::Load(root_, "small", {}).value();
  EvalOptions options_;
};

TEST_F(EvalCellsTest, AreThoseWithAPartOfOnlyAndWithoutOneOfExcept) {
  const size_t all = Names().size();
  options_.only = {"linspace"};
  const size_t linspace = Names().size();
  EXPECT_THAT(Names(), Each(HasSubstr("linspace")));
  options_.only = {};
  options_.except = {"linspace"};
  EXPECT_THAT(Names(), Each(Not(HasSubstr("linspace"))));
  EXPECT_EQ(Names().size() + linspace, all);
  options_.only = {"linspace", "trailing"};
  options_.except = {"ddim", "trailing 1"};
  EXPECT_THAT(Names(), Not(IsEmpty()));
  EXPECT_THAT(Names(), Each(AllOf(Not(HasSubstr("ddim")), Not(HasSubstr("trailing 1")))));
}

TEST_F(EvalCellsTest, PlainAndCachedOnesHaveTheStepsThatAreAskedFor) {
  options_.steps = {9, 30};
  options_.cached = true;
  options_.only = {"dpmsolver++ linspace"};
  options_.except = {"linspace 50"};  // what the model itself is judged by
  EXPECT_THAT(Names(), Each(AnyOf(HasSubstr("linspace 9"), HasSubstr("linspace 30"))));
  options_.except.push_back("cache");
  EXPECT_THAT(Names(), ElementsAre("dpmsolver++ linspace 9", "dpmsolver++ linspace 30"));
}

TEST_F(EvalCellsTest, StepsThatTheScheduleCannotHoldAreRefusedByTheirCell) {
  options_.steps = {1000};
  const auto cells = MakeCells(options_, *model_);
  EXPECT_EQ(cells.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(cells.status().message(), HasSubstr("1000': "));
}

TEST_F(EvalCellsTest, PlansThatRunFeedbackNeedAModelWithAModule) {
  const std::string file = root_ + "/plans.json";
  std::ofstream(file) << R"({"plans": [{"steps": 2, "solver": "dpmsolver++",
                                        "feedback_steps": [1], "equivalent_steps": 2}]})";
  options_.plans = {"mine=" + file};
  const auto cells = MakeCells(options_, *model_);
  EXPECT_EQ(cells.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(cells.status().message(),
              AllOf(HasSubstr("--plans mine=" + file), HasSubstr("the plan of 2 steps"),
                    HasSubstr("no module in feedback/")));
}

TEST_F(EvalCellsTest, NoneLeftNamesTheFlagsAndTheirParts) {
  options_.only = {"linspace"};
  options_.except = {"space"};
  const auto cells = MakeCells(options_, *model_);
  ASSERT_FALSE(cells.ok());
  EXPECT_EQ(cells.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(cells.status().message(),
              AllOf(HasSubstr("--only: with 'linspace'"), HasSubstr("--except: without 'space'")));
  options_.only = {};
  options_.except = {"d", "p"};
  EXPECT_THAT(MakeCells(options_, *model_).status().message(),
              AllOf(HasSubstr("--except: without 'd' or 'p'"), Not(HasSubstr("--only"))));
}

}  // namespace
}  // namespace ilf
