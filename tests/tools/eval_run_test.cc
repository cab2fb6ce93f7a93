#include "tools/eval_run.h"

#include <atomic>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/checkpoint/json_config.h"
#include "tests/training/small_classifier.h"
#include "tests/training/small_dataset.h"
#include "tests/training/small_model.h"

namespace ilf {
namespace {

using ::testing::HasSubstr;

class EvalRunTest : public ::testing::Test {
 protected:
  EvalRunTest() {
    options_.model = root_;
    options_.out = root_ + "/eval.jsonl";
    options_.guidance_scales = {1.0};
    options_.images = 2;
    options_.reference_steps = 8;
  }
  ~EvalRunTest() override { std::filesystem::remove_all(root_); }

  void Measure(const std::vector<int>& steps, const EvalWeights& weights = {"backbone", ""}) {
    std::vector<Cell> cells;
    for (const int n : steps) {
      cells.push_back(PlainCell(model_->schedule(), SolverKind::kDdim, Spacing::kLinspace, n));
    }
    const Subjects subjects = ClassesOf(model_->transformer().config());
    const absl::Status status =
        EvalRun(options_, *model_, subjects, /*silent=*/nullptr, stop_).Run(cells, weights);
    ASSERT_TRUE(status.ok()) << status;
  }

  // The cells of the lines that can be read, in order.
  std::vector<std::string> Lines() const {
    std::vector<std::string> cells;
    std::ifstream file(options_.out);
    for (std::string line; std::getline(file, line);) {
      const auto json = JsonConfig::FromText(line, "line");
      if (json.ok()) cells.push_back(json->GetString("cell").value());
    }
    return cells;
  }

  const std::string root_ = SmallModelDirectory("eval_run");
  const std::shared_ptr<const DiffusionModel> model_ =
      DiffusionModel::Load(root_, "small", {}).value();
  const std::atomic<bool> stop_{false};
  EvalOptions options_;
};

using Cells = std::vector<std::string>;

TEST_F(EvalRunTest, GoesOnWhereItStopped) {
  Measure({2});
  Measure({2, 3});
  EXPECT_EQ(Lines(), (Cells{"ddim linspace 2", "ddim linspace 3"}));
  Measure({2, 3});
  EXPECT_EQ(Lines().size(), 2u);
}

TEST_F(EvalRunTest, LeavesALineThatAKilledRunDidNotFinishAlone) {
  Measure({2});
  std::ofstream(options_.out, std::ios::app) << R"({"cell": "ddim lin)";
  Measure({2, 3});
  EXPECT_EQ(Lines(), (Cells{"ddim linspace 2", "ddim linspace 3"}));
}

TEST_F(EvalRunTest, MeasuresOtherWeightsAndMoreImagesAnew) {
  Measure({2});
  Measure({2}, {"another backbone", ""});
  EXPECT_EQ(Lines().size(), 2u);
  Measure({2}, {"backbone", "", "another autoencoder"});
  EXPECT_EQ(Lines().size(), 3u);
  options_.images = 3;
  Measure({2});
  EXPECT_EQ(Lines().size(), 4u);
}

TEST_F(EvalRunTest, JudgesAnewWithAnotherClassifierOrMorePictures) {
  options_.real = SmallDataset("eval_run", 12, 8);
  options_.classifier = SmallClassifier("eval_run");
  options_.fid_images = 4;
  Measure({2});
  Measure({2});
  EXPECT_EQ(Lines().size(), 1u);
  options_.classifier = SmallClassifier("eval_run_other", /*seed=*/6);
  Measure({2});
  EXPECT_EQ(Lines().size(), 2u);
  options_.fid_images = 5;
  Measure({2});
  EXPECT_EQ(Lines().size(), 3u);
  options_.classifier.clear();
  Measure({2});
  EXPECT_EQ(Lines().size(), 3u);
}

TEST_F(EvalRunTest, WritesThePicturesOfEachCellOnce) {
  options_.pictures = root_ + "/pictures";
  options_.fid_images = 3;
  Measure({2, 3});
  const auto pictures = [&](const std::string& cell) {
    std::map<std::string, std::string> files;
    for (const auto& entry : std::filesystem::directory_iterator(options_.pictures + "/" + cell)) {
      if (entry.path().extension() != ".png") continue;
      std::ifstream file(entry.path(), std::ios::binary);
      files[entry.path().filename()] = std::string(std::istreambuf_iterator<char>(file), {});
    }
    return files;
  };
  const auto two = pictures("ddim linspace 2"), three = pictures("ddim linspace 3");
  ASSERT_EQ(two.size(), 3u);
  EXPECT_TRUE(two.contains("000002.png"));
  EXPECT_NE(two.at("000000.png"), two.at("000001.png"));
  EXPECT_NE(two, three);
  const auto written =
      std::filesystem::last_write_time(options_.pictures + "/ddim linspace 2/000000.png");
  Measure({2, 3});
  EXPECT_EQ(std::filesystem::last_write_time(options_.pictures + "/ddim linspace 2/000000.png"),
            written);
  EXPECT_EQ(pictures("ddim linspace 2"), two);
}

TEST_F(EvalRunTest, PicturesOfOtherWeightsAreLeftAlone) {
  options_.pictures = root_ + "/pictures";
  options_.fid_images = 2;
  Measure({2});
  const std::vector<Cell> cells = {
      PlainCell(model_->schedule(), SolverKind::kDdim, Spacing::kLinspace, 2)};
  const absl::Status status = EvalRun(options_, *model_, ClassesOf(model_->transformer().config()),
                                      /*silent=*/nullptr, stop_)
                                  .Run(cells, {"another backbone", ""});
  EXPECT_THAT(std::string(status.message()), HasSubstr("name another folder"));
}

TEST_F(EvalRunTest, TheModuleCountsWhereItRuns) {
  Measure({2}, {"backbone", "a module"});
  Measure({2}, {"backbone", "another"});
  EXPECT_EQ(Lines().size(), 1u);
}

}  // namespace
}  // namespace ilf
