// What a feedback run starts from, keeps and refuses.
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <ATen/ops/equal.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/checkpoint/state_dict.h"
#include "engine/training/feedback_trainer.h"
#include "tests/training/feedback_trainer_testing.h"
#include "tests/training/small_model.h"

namespace ilf {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

using FeedbackRunTest = FeedbackTrainerTest;

TEST_F(FeedbackRunTest, CanStartFromACopyOfTheLastInnerBlock) {
  WritePlans("");
  options_.initial = InitialBlock::kBackbone;
  options_.save_dtype = at::kFloat;
  options_.loop.steps = 1;
  options_.loop.learning_rate = 0.0;
  ASSERT_TRUE(TrainFeedback(options_, stop_).ok());
  const auto file_of = [&](const std::string& part) {
    return StateDict::Load(model_ + "/" + part + "/diffusion_pytorch_model.safetensors").value();
  };
  StateDict module = file_of("feedback"), backbone = file_of("transformer");
  for (const std::string& name : module.Names()) {
    if (name == "scales") continue;
    const std::vector<int64_t> shape = module.Shape(name).value();
    const std::string from = "transformer_blocks.3." + name.substr(std::string("block.").size());
    EXPECT_TRUE(at::equal(module.Take(name, shape).value(),
                          backbone.Take(from, shape).value().to(at::kFloat)))
        << name;
  }
}

TEST_F(FeedbackRunTest, CanStartFromAModuleThatHasLearned) {
  WritePlans("");
  ASSERT_TRUE(TrainFeedback(options_, stop_).ok());
  const std::string learned = ModuleBytes();
  const std::string first = model_ + "_first";
  std::filesystem::remove_all(first);
  std::filesystem::rename(model_, first);
  ASSERT_EQ(SmallModelDirectory("feedback_trainer"), model_);
  WritePlans("");
  options_.initial_model = first;
  options_.scale_gain = 4.0;  // a power of two, so that no bit of the scales is lost
  options_.loop.learning_rate = 0.0;
  options_.loop.steps = 1;
  const absl::Status status = TrainFeedback(options_, stop_);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_TRUE(ModuleBytes() == learned);
  std::filesystem::remove_all(first);
}

TEST_F(FeedbackRunTest, AModuleThatHasLearnedIsNotReplacedByAWorseOne) {
  WritePlans("");
  ASSERT_TRUE(TrainFeedback(options_, stop_).ok());
  const std::string learned = ModuleBytes();
  const std::string first = model_ + "_first";
  std::filesystem::remove_all(first);
  std::filesystem::copy(model_, first, std::filesystem::copy_options::recursive);
  options_.initial_model = first;
  options_.loop.resume = false;
  options_.loop.learning_rate = 0.5;  // ruins what was learned
  options_.loop.checkpoint_every = 1;
  options_.loop.steps = 10;
  options_.patience = 3;
  ASSERT_TRUE(TrainFeedback(options_, stop_).ok());
  EXPECT_TRUE(ModuleBytes() == learned);
  EXPECT_EQ(Measures().size(), 3u) << "checks until patience was out";
  options_.loop.resume = true;
  ASSERT_TRUE(TrainFeedback(options_, stop_).ok());
  EXPECT_EQ(Measures().size(), 4u) << "checks before the run was resumed count";
  std::filesystem::remove_all(first);
}

TEST_F(FeedbackRunTest, DoesNotGoOnFromARunOfOtherPlans) {
  WritePlans("");
  options_.loop.steps = 2;
  ASSERT_TRUE(TrainFeedback(options_, stop_).ok());
  WritePlans(R"(, "target_timesteps": [500, 100])");
  EXPECT_THAT(std::string(TrainFeedback(options_, stop_).message()),
              HasSubstr("other plans or settings; --no_resume begins anew"));
  options_.loop.resume = false;
  EXPECT_TRUE(TrainFeedback(options_, stop_).ok());
}

TEST_F(FeedbackRunTest, ARunThatGoesOnWithAnotherLossJudgesByThatAlone) {
  WritePlans("");
  ASSERT_TRUE(TrainFeedback(options_, stop_).ok());
  std::filesystem::remove_all(model_ + "/feedback");
  options_.loss = SamplerLoss::kPictures;
  options_.loop.steps = 80;
  ASSERT_TRUE(TrainFeedback(options_, stop_).ok());
  const std::vector<double> measures = Measures();
  ASSERT_EQ(measures.size(), 4u);
  EXPECT_TRUE(std::filesystem::exists(model_ + "/feedback/config.json"))
      << "latents " << measures[1] << ", pictures " << measures[2];
}

TEST_F(FeedbackRunTest, AResumedRunKeepsTheBestModuleOfBefore) {
  WritePlans("");
  ASSERT_TRUE(TrainFeedback(options_, stop_).ok());
  const std::string best = ModuleBytes();
  options_.loop.steps = 80;
  options_.loop.learning_rate = 0.5;  // ruins what was learned
  ASSERT_TRUE(TrainFeedback(options_, stop_).ok());
  const std::vector<double> measures = Measures();
  ASSERT_EQ(measures.size(), 4u);
  EXPECT_GT(measures.back(), measures[1]);
  EXPECT_TRUE(ModuleBytes() == best);
}

TEST_F(FeedbackRunTest, APlanStatesTheTimestepsOfItsSpacing) {
  std::ofstream(options_.plans)
      << R"({"first_inner_block": 2, "inner_blocks": 2, "plans": [{"steps": 2, "solver": "dpmsolver++",
             "spacing": "trailing", "feedback_steps": [1], "equivalent_steps": 3}]})";
  options_.loop.steps = 2;
  const absl::Status status = TrainFeedback(options_, stop_);
  ASSERT_TRUE(status.ok()) << status;
  const auto model = Load();
  ASSERT_NE(model, nullptr);
  const CalibratedPlan plan = model->feedback_plans()[0];
  EXPECT_EQ(plan.plan.timesteps, (std::vector<double>{999, 499}));
  EXPECT_FALSE(plan.spacing.has_value());
}

TEST_F(FeedbackRunTest, RefusesASpacingWhoseTimestepsCoincide) {
  std::ofstream(options_.plans)
      << R"({"first_inner_block": 2, "inner_blocks": 2, "plans": [{"steps": 200, "solver": "dpmsolver++",
             "spacing": "karras", "feedback_steps": [1], "equivalent_steps": 300}]})";
  EXPECT_THAT(std::string(TrainFeedback(options_, stop_).message()),
              AllOf(HasSubstr("plans.json: the steps of its spacing start at the timesteps 999, "),
                    HasSubstr("timesteps must fall")));
}

}  // namespace
}  // namespace ilf
