#include "tools/plan_command.h"

#include <atomic>
#include <filesystem>
#include <string>
#include <vector>

#include <ATen/CPUGeneratorImpl.h>
#include <torch/types.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/checkpoint/json_config.h"
#include "engine/checkpoint/model_directory.h"
#include "engine/pipeline/feedback.h"
#include "engine/training/feedback_writer.h"
#include "engine/training/initial_weights.h"
#include "tests/training/small_model.h"

namespace ilf {
namespace {

using ::testing::HasSubstr;

class PlanCommandTest : public ::testing::Test {
 protected:
  PlanCommandTest() {
    command_.model = model_;
    command_.steps = {2};
    command_.feedback_steps = {1};
    command_.inner_blocks = 2;
    command_.images = 6;
    command_.levels = 6;
  }
  ~PlanCommandTest() override { std::filesystem::remove_all(model_); }

  // Gives the model a module with random weights, all its scales `scale`.
  void WriteModule(double scale) {
    const FeedbackConfig config = {.inner = {2, 4}};
    NamedTensors weights =
        InitialFeedback(config, SmallDitConfig(), at::make_generator<at::CPUGeneratorImpl>(3));
    for (auto& [name, tensor] : weights) {
      tensor = at::randn(tensor.sizes(), at::make_generator<at::CPUGeneratorImpl>(4)) * 0.3;
    }
    weights["scales"] = at::full({2}, scale);
    CalibratedPlan plan;
    plan.plan = {.steps = 1, .timesteps = {999}, .feedback = {{0, 0.0}}};
    plan.equivalent_steps = 1;
    const std::string sha256 = BackboneSha256(ReadModelDirectory(model_).value()).value();
    ASSERT_TRUE(WriteFeedback(model_, sha256, config, {plan}, weights, at::kFloat).ok());
  }

  // The coefficients of the plan that is found.
  std::vector<UpdateCoefficients> Found(bool with_feedback) {
    command_.with_feedback = with_feedback;
    command_.out = model_ + (with_feedback ? "/with.json" : "/plain.json");
    const absl::Status status = RunPlanCommand(command_, stop_);
    EXPECT_TRUE(status.ok()) << status;
    const JsonConfig json = JsonConfig::Load(command_.out).value();
    EXPECT_EQ(json.GetInt("first_inner_block").value(), 2);
    EXPECT_EQ(json.GetInt("inner_blocks").value(), 2);
    const NoiseSchedule schedule =
        NoiseSchedule::Create(DefaultConfigOf(SolverKind::kDpmSolverPp2m)).value();
    const FeedbackPlan plan = ReadFeedbackPlans(json, schedule).value().at(0).plan;
    EXPECT_EQ(plan.feedback.size(), 1u);
    EXPECT_EQ(plan.feedback[0].step, 1);
    return plan.coefficients;
  }

  const std::string model_ = SmallModelDirectory("plan_command");
  const std::atomic<bool> stop_{false};
  PlanCommand command_;
};

TEST_F(PlanCommandTest, FitsPlansToTheModuleThatRunsInThem) {
  WriteModule(0.0);  // loops that change nothing
  const auto plain = Found(false), silent = Found(true);
  ASSERT_EQ(plain.size(), 2u);
  for (size_t i = 0; i < plain.size(); ++i) {
    EXPECT_EQ(silent[i].a, plain[i].a);
    EXPECT_EQ(silent[i].b, plain[i].b);
    EXPECT_EQ(silent[i].c, plain[i].c);
  }
  WriteModule(1.0);
  EXPECT_NE(Found(true)[1].b, plain[1].b);
}

TEST_F(PlanCommandTest, NeedsAModuleToSearchWithOne) {
  command_.with_feedback = true;
  EXPECT_THAT(std::string(RunPlanCommand(command_, stop_).message()),
              HasSubstr("--with_feedback: " + model_ + " has no feedback module"));
}

TEST_F(PlanCommandTest, GuidanceIsWhatAPlanMaySay) {
  for (const std::vector<double>& scales :
       {std::vector<double>{0.5}, std::vector<double>{2.5, 1.0}}) {
    command_.guidance_scales = scales;
    EXPECT_THAT(std::string(RunPlanCommand(command_, stop_).message()),
                HasSubstr("--guidance must be one scale, or the least and the most"));
  }
}

TEST_F(PlanCommandTest, FeedbackStepsAreStepsOfEveryPlan) {
  command_.steps = {3, 1};
  EXPECT_THAT(std::string(RunPlanCommand(command_, stop_).message()),
              HasSubstr("--feedback_steps must be 0 to 0 in a plan of 1 steps, one is 1"));
}

}  // namespace
}  // namespace ilf
