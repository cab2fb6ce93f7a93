#include "engine/api/model_info.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ilf {
namespace {

using ::testing::HasSubstr;

ModelInfo Birds() {
  ModelInfo model;
  model.name = "birds";
  model.labels = {"tench, Tinca tinca", "crane", "crane, machine", "Bald Eagle", "kite, crane"};
  return model;
}

TEST(FindLabelTest, FindsAWholeLabelAndASynonym) {
  EXPECT_EQ(*FindLabel(Birds(), "tench, Tinca tinca"), 0);
  EXPECT_EQ(*FindLabel(Birds(), "Tinca tinca"), 0);
  EXPECT_EQ(*FindLabel(Birds(), "kite"), 4);
}

TEST(FindLabelTest, IgnoresCaseAndSurroundingSpace) {
  EXPECT_EQ(*FindLabel(Birds(), "  bald EAGLE "), 3);
}

TEST(FindLabelTest, AWholeLabelWinsOverSynonyms) { EXPECT_EQ(*FindLabel(Birds(), "crane"), 1); }

TEST(FindLabelTest, ASharedSynonymIsAmbiguous) {
  ModelInfo model = Birds();
  model.labels[1] = "heron";
  const absl::Status status = FindLabel(model, "crane").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(status.message(), HasSubstr("classes 2 and 4"));
}

TEST(FindLabelTest, ASynonymTwiceInOneLabelIsOneClass) {
  ModelInfo model;
  model.labels = {"maillot, maillot"};
  EXPECT_EQ(*FindLabel(model, "maillot"), 0);
}

TEST(FindLabelTest, AnUnknownNameNamesTheModel) {
  const absl::Status status = FindLabel(Birds(), "penguin").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(status.message(), HasSubstr("'birds'"));
  EXPECT_EQ(FindLabel(Birds(), "").status().code(), absl::StatusCode::kNotFound);
}

TEST(SolverNameTest, IsTheNameThatDiffusersUsersKnow) {
  EXPECT_EQ(SolverName(Solver::kDdim), "ddim");
  EXPECT_EQ(SolverName(Solver::kDpmSolverPp2m), "dpmsolver++");
  EXPECT_EQ(SolverName(Solver::kEuler), "euler");
}

}  // namespace
}  // namespace ilf
