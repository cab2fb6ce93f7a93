#include "engine/training/feedback_average.h"

#include <filesystem>
#include <string>
#include <vector>

#include <ATen/CPUGeneratorImpl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/types.h>

#include "engine/checkpoint/model_directory.h"
#include "engine/pipeline/diffusion_model.h"
#include "engine/training/feedback_writer.h"
#include "engine/training/initial_weights.h"
#include "tests/training/small_model.h"

namespace ilf {
namespace {

using ::testing::HasSubstr;

class FeedbackAverageTest : public ::testing::Test {
 protected:
  ~FeedbackAverageTest() override {
    for (const std::string& folder : {model_, first_, second_}) {
      std::filesystem::remove_all(folder);
    }
  }

  CalibratedPlan Plan(double timestep, double coefficient, double guidance = 1.0) const {
    CalibratedPlan plan;
    plan.plan.steps = 2;
    plan.plan.timesteps = {999, timestep};
    plan.plan.coefficients = {{coefficient, 0, 0}, {0, coefficient, 1}};
    plan.plan.feedback = {{1, 0.0}};
    plan.steps = MakeFeedbackStepPlan(schedule_, plan.plan).value();
    plan.equivalent_steps = 3;
    plan.min_guidance_scale = plan.max_guidance_scale = guidance;
    return plan;
  }

  // A module with random weights; returns these.
  NamedTensors Write(const std::string& folder, uint64_t seed,
                     const std::vector<CalibratedPlan>& plans, const std::string& sha256) const {
    NamedTensors weights =
        InitialFeedback(config_, SmallDitConfig(), at::make_generator<at::CPUGeneratorImpl>(seed));
    weights["scales"] = at::full({2}, static_cast<double>(seed));
    EXPECT_TRUE(WriteFeedback(folder, sha256, config_, plans, weights, at::kFloat).ok());
    return weights;
  }

  std::string Sha256() const { return BackboneSha256(ReadModelDirectory(model_).value()).value(); }

  FeedbackConfig config_ = {.inner = {2, 4}};
  const std::string model_ = SmallModelDirectory("feedback_average");
  const std::string first_ = model_ + "_first", second_ = model_ + "_second";
  const NoiseSchedule schedule_ = DiffusionModel::Load(model_, "small", {}).value()->schedule();
};

TEST_F(FeedbackAverageTest, WritesTheMeanOfWeightsAndOfTheCoefficientsOfPlansInCommon) {
  CalibratedPlan measured_anew = Plan(600, 3.0);
  measured_anew.equivalent_steps = 9;
  const NamedTensors a = Write(first_, 1, {Plan(600, 1.0), Plan(500, 1.0, 2.0)}, Sha256());
  const NamedTensors b = Write(second_, 2, {measured_anew, Plan(400, 7.0, 2.0)}, Sha256());
  const absl::Status status = AverageFeedback({first_, second_}, model_, at::kFloat);
  ASSERT_TRUE(status.ok()) << status;

  NamedTensors mean = a;
  ASSERT_TRUE(TakeWeights(model_ + "/feedback", "diffusion_pytorch_model", mean).ok());
  for (const auto& [name, tensor] : mean) {
    EXPECT_TRUE(at::allclose(tensor, (a.at(name) + b.at(name)) / 2)) << name;
  }
  const auto loaded = DiffusionModel::Load(model_, "small", {});
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  const auto json = JsonConfig::Load(model_ + "/feedback/config.json");
  const std::vector<CalibratedPlan> plans = ReadFeedbackPlans(*json, schedule_).value();
  ASSERT_EQ(plans.size(), 2u);
  EXPECT_EQ(plans[0].plan.coefficients[0].a, 2.0);
  EXPECT_EQ(plans[0].plan.coefficients[1].b, 2.0);
  EXPECT_EQ(plans[0].plan.coefficients[1].c, 1.0);
  EXPECT_EQ(plans[0].equivalent_steps, 3);
  EXPECT_EQ(plans[1].plan.coefficients[0].a, 1.0);
}

TEST_F(FeedbackAverageTest, OneThatIsNamedTwiceCountsTwice) {
  const NamedTensors a = Write(first_, 1, {Plan(600, 1.0)}, Sha256());
  Write(second_, 4, {Plan(600, 4.0)}, Sha256());
  ASSERT_TRUE(AverageFeedback({first_, first_, second_}, model_, at::kFloat).ok());
  NamedTensors mean = a;
  ASSERT_TRUE(TakeWeights(model_ + "/feedback", "diffusion_pytorch_model", mean).ok());
  EXPECT_TRUE(at::allclose(mean.at("scales"), at::full({2}, 2.0)));
}

// Their steps start between whole timesteps, which the spacing alone says.
TEST_F(FeedbackAverageTest, APlanKeepsItsSpacing) {
  CalibratedPlan plan = Plan(600, 1.0);
  plan.plan.timesteps.clear();
  plan.spacing = Spacing::kKarras;
  plan.steps = MakeFeedbackStepPlan(schedule_.With(Spacing::kKarras), plan.plan).value();
  Write(first_, 1, {plan}, Sha256());
  Write(second_, 2, {plan}, Sha256());
  ASSERT_TRUE(AverageFeedback({first_, second_}, model_, at::kFloat).ok());
  const auto json = JsonConfig::Load(model_ + "/feedback/config.json");
  const std::vector<CalibratedPlan> plans = ReadFeedbackPlans(*json, schedule_).value();
  ASSERT_EQ(plans.size(), 1u);
  EXPECT_EQ(plans[0].spacing, Spacing::kKarras);
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(plans[0].steps.steps[i].timestep, plan.steps.steps[i].timestep);
    EXPECT_EQ(plans[0].steps.steps[i].p, plan.steps.steps[i].p);
  }
}

TEST_F(FeedbackAverageTest, RefusesModulesOfAnotherBackboneOrOtherSettings) {
  Write(first_, 1, {Plan(600, 1.0)}, Sha256());
  Write(second_, 2, {Plan(600, 1.0)}, "another");
  EXPECT_THAT(AverageFeedback({first_, second_}, model_, at::kFloat).message(),
              HasSubstr(second_ + "/feedback/config.json: trained for a backbone"));
  config_.extra_loops = 2;
  Write(second_, 2, {Plan(600, 1.0)}, Sha256());
  EXPECT_THAT(AverageFeedback({first_, second_}, model_, at::kFloat).message(),
              HasSubstr(second_ + ": its module has other settings"));
  EXPECT_FALSE(std::filesystem::exists(model_ + "/feedback"));
}

}  // namespace
}  // namespace ilf
