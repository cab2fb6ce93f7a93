#include "engine/pipeline/feedback.h"

#include <filesystem>
#include <fstream>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/checkpoint/file_hash.h"
#include "tests/testing/fixture.h"
#include "tests/testing/shards.h"
#include "tests/testing/temp_path.h"

namespace ilf {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kPlan[] =
    R"({"steps": 4, "solver": "dpmsolver++", "feedback_steps": [0, 2], "equivalent_steps": 6)";

class FeedbackPlansTest : public ::testing::Test {
 protected:
  absl::StatusOr<std::vector<CalibratedPlan>> Read(const std::string& plans) {
    return ReadFeedbackPlans(
        *JsonConfig::FromText("{\"plans\": [" + plans + "]}", "feedback/config.json"), schedule_);
  }
  std::string ErrorOf(const std::string& plans) {
    return std::string(Read(plans).status().message());
  }

  const NoiseSchedule schedule_ =
      NoiseSchedule::Create(DefaultConfigOf(SolverKind::kDpmSolverPp2m)).value();
};

TEST_F(FeedbackPlansTest, ReadsAPlan) {
  const auto plans = Read(std::string(kPlan) +
                          R"(, "timesteps": [999, 700.5, 400, 100], "target_timesteps": [850, 300],
                              "guidance_scales": [1.0, 4.0], "feedback_in_history": false})");
  ASSERT_TRUE(plans.ok()) << plans.status();
  const CalibratedPlan& plan = plans->front();
  EXPECT_EQ(plan.plan.steps, 4);
  EXPECT_EQ(plan.plan.solver, SolverKind::kDpmSolverPp2m);
  EXPECT_EQ(plan.steps.steps[1].timestep, 700.5);
  EXPECT_EQ(plan.steps.steps[2].pass, PassKind::kFeedback);
  EXPECT_EQ(plan.steps.steps[2].target_timestep, 300.0);
  EXPECT_FALSE(plan.plan.feedback_in_history);
  EXPECT_EQ(plan.equivalent_steps, 6);
  EXPECT_EQ(plan.max_guidance_scale, 4.0);
}

TEST_F(FeedbackPlansTest, AimsAtTheNextStepWhereNoTargetIsGiven) {
  const auto plans = Read(
      R"({"steps": 2, "solver": "dpmsolver++", "feedback_steps": [0, 1], "equivalent_steps": 3,
          "timesteps": [999, 400]})");
  ASSERT_TRUE(plans.ok()) << plans.status();
  EXPECT_EQ(plans->front().steps.steps[0].target_timestep, 400.0);
  EXPECT_EQ(plans->front().steps.steps[1].target_timestep, 0.0);
}

// A plain plan that `ilf-train plan` wrote has such a list, and is given feedback by hand.
TEST_F(FeedbackPlansTest, AnEmptyListOfTargetsIsNone) {
  const auto plans = Read(
      R"({"steps": 2, "solver": "dpmsolver++", "feedback_steps": [0, 1], "equivalent_steps": 3,
          "timesteps": [999, 400], "target_timesteps": []})");
  ASSERT_TRUE(plans.ok()) << plans.status();
  EXPECT_EQ(plans->front().steps.steps[0].target_timestep, 400.0);
}

TEST_F(FeedbackPlansTest, SpacingTakesThePlaceOfTheSchedulers) {
  const auto plans = Read(std::string(kPlan) + R"(, "spacing": "karras"})");
  ASSERT_TRUE(plans.ok()) << plans.status();
  const StepPlan karras =
      MakeStepPlan(schedule_.With(Spacing::kKarras), SolverKind::kDpmSolverPp2m, 4).value();
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(plans->front().steps.steps[i].timestep, karras.steps[i].timestep);
  }
}

TEST_F(FeedbackPlansTest, RefusesASpacingThatTheSolverDoesNotHave) {
  for (const char* spacing : {"karras", "log_snr"}) {
    EXPECT_THAT(ErrorOf(R"({"steps": 4, "solver": "ddim", "feedback_steps": [0],
                            "equivalent_steps": 6, "spacing": ")" +
                        std::string(spacing) + "\"}"),
                HasSubstr(std::string("ddim has no spacing ") + spacing));
  }
}

// 332 block evaluations of a model with 28 blocks; each pass aims at half of its timestep.
TEST_F(FeedbackPlansTest, CountsThePapersPlan) {
  const JsonConfig json =
      JsonConfig::Load(ILF_SOURCE_DIR "/benchmarks/quality/paper_plan.json").value();
  const TransformerConfig backbone;
  const FeedbackConfig config = FeedbackConfig::FromJson(json, backbone).value();
  const std::vector<CalibratedPlan> plans = ReadFeedbackPlans(json, schedule_).value();
  int64_t blocks = 0;
  for (const PlannedStep& step : plans[0].steps.steps) {
    blocks += backbone.num_layers;
    if (step.pass == PassKind::kFeedback) blocks += config.extra_blocks();
  }
  EXPECT_EQ(blocks, 332);
  ASSERT_EQ(plans[0].plan.feedback.size(), 4u);
  for (const FeedbackStep& feedback : plans[0].plan.feedback) {
    EXPECT_EQ(feedback.target_timestep, plans[0].steps.steps[feedback.step].timestep / 2);
  }
}

TEST_F(FeedbackPlansTest, NamesThePlanTheKeyAndTheReason) {
  EXPECT_THAT(ErrorOf(""), HasSubstr("plans must not be empty"));
  EXPECT_THAT(ErrorOf(std::string(kPlan) + R"(, "spacing": "even"})"),
              AllOf(HasSubstr("feedback/config.json, plans[0]"), HasSubstr("spacing 'even'")));
  EXPECT_THAT(ErrorOf(std::string(kPlan) + "}, " + kPlan + "}"),
              AllOf(HasSubstr("plans[1]"), HasSubstr("the same steps, solver")));
  EXPECT_THAT(ErrorOf(std::string(kPlan) + R"(, "target_timesteps": [3]})"),
              HasSubstr("target_timesteps must be as many as feedback_steps, 2, are 1"));
  EXPECT_THAT(
      ErrorOf(std::string(kPlan) + R"(, "guidance_scale": [1, 4]})"),
      AllOf(HasSubstr("plans[0]: 'guidance_scale' is not known"), HasSubstr("guidance_scales")));
  EXPECT_THAT(ErrorOf(std::string(kPlan) + R"(, "timesteps": [9, 7, 4, 1], "spacing": "karras"})"),
              HasSubstr("timesteps and spacing both say where the steps start"));
  EXPECT_THAT(ErrorOf(std::string(kPlan) + R"(, "coefficients": [[1, 2]]})"),
              HasSubstr("coefficients must be a list of [a, b, c]"));
  EXPECT_THAT(ErrorOf(std::string(kPlan) + R"(, "guidance_scales": [3, 2]})"),
              HasSubstr("1 <= least <= most, is [3, 2]"));
  EXPECT_THAT(ErrorOf(R"({"steps": 4, "solver": "euler", "feedback_steps": [0]})"),
              HasSubstr("solver must be ddim or dpmsolver++, is 'euler'"));
  EXPECT_THAT(ErrorOf(R"({"steps": 4, "solver": "ddim", "feedback_steps": [4]})"),
              HasSubstr("feedback_steps must be 0 to 3, one is 4"));
  EXPECT_THAT(ErrorOf(R"({"steps": 4, "solver": "ddim", "feedback_steps": [1]})"),
              HasSubstr("equivalent_steps"));
  EXPECT_THAT(ErrorOf(R"({"steps": 0, "solver": "ddim", "feedback_steps": [1]})"),
              HasSubstr("steps must be 1 to 1000, is 0"));
}

TEST_F(FeedbackPlansTest, RefusesAKeyOfTheModuleThatItDoesNotKnow) {
  const auto json =
      JsonConfig::FromText(R"({"inner_timesteps": "target", "plans": []})", "feedback/config.json");
  EXPECT_THAT(std::string(ReadFeedbackPlans(*json, schedule_).status().message()),
              HasSubstr("'inner_timesteps' is not known"));
}

// A model directory whose backbone and module are those of a fixture.
class LoadFeedbackTest : public ::testing::Test {
 protected:
  LoadFeedbackTest() : root_(TestPath("model")) {
    namespace fs = std::filesystem;
    fs::remove_all(root_);
    fs::create_directories(root_ + "/feedback");
    fs::copy(FixturePath("feedback/backbones/equal_embedders"), root_ + "/transformer");
    fs::copy(FixturePath("feedback/source/diffusion_pytorch_model.safetensors"),
             root_ + "/feedback");
    directory_.path = root_;
  }
  ~LoadFeedbackTest() override { std::filesystem::remove_all(root_); }

  absl::StatusOr<Feedback> LoadWith(const std::string& hash) {
    std::ofstream(directory_.FeedbackConfigFile())
        << R"({"first_inner_block": 1, "inner_blocks": 2, "backbone_sha256": ")" << hash
        << R"(", "plans": [)" << kPlan << "}]}";
    const TransformerConfig config = ValueOrDie(TransformerConfig::FromJson(
        ValueOrDie(JsonConfig::Load(root_ + "/transformer/config.json"))));
    return LoadFeedback(directory_, config,
                        NoiseSchedule::Create(DefaultConfigOf(SolverKind::kDpmSolverPp2m)).value(),
                        {});
  }

  const std::string root_;
  ModelDirectory directory_;
};

TEST_F(LoadFeedbackTest, LoadsTheModuleOfItsBackbone) {
  const auto feedback = LoadWith(FileSha256(directory_.TransformerWeights()).value());
  ASSERT_TRUE(feedback.ok()) << feedback.status();
  EXPECT_EQ(feedback->module.config().inner.end, 3);
  EXPECT_NE(FindPlan(feedback->plans, 4, SolverKind::kDpmSolverPp2m, 1.0), nullptr);
  EXPECT_EQ(FindPlan(feedback->plans, 4, SolverKind::kDdim, 1.0), nullptr);
  EXPECT_EQ(FindPlan(feedback->plans, 5, SolverKind::kDpmSolverPp2m, 1.0), nullptr);
}

// Weights without a config.json are no model without a module.
TEST_F(LoadFeedbackTest, AFolderIsEnoughToHaveAModule) {
  EXPECT_TRUE(HasFeedback(directory_));
  const auto feedback = LoadFeedback(directory_, {}, NoiseSchedule::Create({}).value(), {});
  EXPECT_THAT(std::string(feedback.status().message()), HasSubstr("feedback/config.json"));
  std::filesystem::remove_all(root_ + "/feedback");
  EXPECT_FALSE(HasFeedback(directory_));
}

TEST(FindPlanTest, TakesTheGuidanceRangeThatIsNearest) {
  const auto plan = [](double least, double most) {
    CalibratedPlan plan;
    plan.plan.steps = 4;
    plan.min_guidance_scale = least;
    plan.max_guidance_scale = most;
    return plan;
  };
  const std::vector<CalibratedPlan> plans = {plan(1, 1.5), plan(2, 4)};
  const auto found = [&](double guidance) {
    return FindPlan(plans, 4, SolverKind::kDpmSolverPp2m, guidance) - plans.data();
  };
  EXPECT_EQ(found(1.0), 0);
  EXPECT_EQ(found(1.7), 0);
  EXPECT_EQ(found(1.8), 1);
  EXPECT_EQ(found(3.0), 1);
  EXPECT_EQ(found(9.0), 1);
}

TEST_F(LoadFeedbackTest, RefusesTheModuleOfAnotherBackbone) {
  const auto feedback = LoadWith("0123");
  EXPECT_EQ(feedback.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(feedback.status().message()),
              AllOf(HasSubstr("feedback/config.json"), HasSubstr("backbone_sha256 0123"),
                    HasSubstr("but " + root_ + "/transformer has ")));
}

TEST_F(LoadFeedbackTest, KnowsABackboneInShards) {
  const std::string whole = BackboneSha256(directory_).value();
  const std::vector<std::string> shards =
      SplitIntoShards(root_ + "/transformer", "diffusion_pytorch_model");
  const std::string hash = BackboneSha256(directory_).value();
  EXPECT_TRUE(LoadWith(hash).ok()) << LoadWith(hash).status();
  EXPECT_TRUE(absl::IsInvalidArgument(LoadWith(whole).status()));
  for (const std::string& shard : shards) {
    const auto bytes = std::filesystem::file_size(shard);
    std::ofstream(shard, std::ios::app) << "x";
    EXPECT_TRUE(absl::IsInvalidArgument(LoadWith(hash).status())) << shard;
    std::filesystem::resize_file(shard, bytes);
  }
}

}  // namespace
}  // namespace ilf
