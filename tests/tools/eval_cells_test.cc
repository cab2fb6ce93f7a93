#include "tools/eval_cells.h"

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/training/small_model.h"

namespace ilf {
namespace {

using ::testing::AllOf;
using ::testing::Each;
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
