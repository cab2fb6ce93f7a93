#include "engine/sampling/feedback_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

namespace ilf {
namespace {

using ::testing::HasSubstr;

class FeedbackPlanTest : public ::testing::Test {
 protected:
  std::string ErrorOf(const FeedbackPlan& plan) {
    return std::string(MakeFeedbackStepPlan(schedule_, plan).status().message());
  }

  const NoiseSchedule schedule_ =
      NoiseSchedule::Create(DefaultConfigOf(SolverKind::kDpmSolverPp2m)).value();
};

void ExpectSameUpdate(const PlannedStep& a, const PlannedStep& b) {
  EXPECT_DOUBLE_EQ(a.timestep, b.timestep);
  EXPECT_DOUBLE_EQ(a.p, b.p);
  EXPECT_DOUBLE_EQ(a.q, b.q);
  EXPECT_DOUBLE_EQ(a.a, b.a);
  EXPECT_DOUBLE_EQ(a.b, b.b);
  EXPECT_DOUBLE_EQ(a.c, b.c);
  EXPECT_DOUBLE_EQ(a.e, b.e);
}

TEST_F(FeedbackPlanTest, IsThePlainPlanWithSomeStepsMarked) {
  for (const SolverKind solver : {SolverKind::kDdim, SolverKind::kDpmSolverPp2m}) {
    const StepPlan plan =
        MakeFeedbackStepPlan(schedule_, {.steps = 4, .solver = solver, .feedback = {{1, 300.0}}})
            .value();
    const StepPlan plain = MakeStepPlan(schedule_, solver, 4).value();
    ASSERT_EQ(plan.steps.size(), 4u);
    for (int i = 0; i < 4; ++i) {
      ExpectSameUpdate(plan.steps[i], plain.steps[i]);
      EXPECT_EQ(plan.steps[i].pass, i == 1 ? PassKind::kFeedback : PassKind::kPlain);
    }
    EXPECT_EQ(plan.steps[1].target_timestep, 300.0);
  }
}

TEST_F(FeedbackPlanTest, TimestepsOfThePlainPlanGiveThePlainPlan) {
  for (const SolverKind solver : {SolverKind::kDdim, SolverKind::kDpmSolverPp2m}) {
    // DDIM in five steps of 200 ends each step where the next begins.
    const NoiseSchedule schedule = schedule_.With(Spacing::kLeading);
    const StepPlan plain = MakeStepPlan(schedule, solver, 5).value();
    FeedbackPlan plan = {.steps = 5, .solver = solver};
    for (const PlannedStep& step : plain.steps) plan.timesteps.push_back(step.timestep);
    const StepPlan made = MakeFeedbackStepPlan(schedule, plan).value();
    for (int i = 0; i < 5; ++i) {
      SCOPED_TRACE(i);
      EXPECT_DOUBLE_EQ(made.steps[i].timestep, plain.steps[i].timestep);
      EXPECT_NEAR(made.steps[i].a, plain.steps[i].a, 1e-6);
      EXPECT_NEAR(made.steps[i].b, plain.steps[i].b, 1e-6);
      EXPECT_NEAR(made.steps[i].c, plain.steps[i].c, 1e-6);
      EXPECT_NEAR(made.steps[i].e, plain.steps[i].e, 1e-6);
    }
  }
}

TEST_F(FeedbackPlanTest, FeedbackOutsideOfTheHistoryMakesItAndTheNextStepFirstOrder) {
  FeedbackPlan plan = {.steps = 5, .feedback = {{2, 100.0}}, .feedback_in_history = false};
  const StepPlan made = MakeFeedbackStepPlan(schedule_, plan).value();
  EXPECT_NE(made.steps[1].c, 0.0);
  EXPECT_EQ(made.steps[2].c, 0.0);
  EXPECT_EQ(made.steps[3].c, 0.0);
  plan.feedback_in_history = true;
  EXPECT_NE(MakeFeedbackStepPlan(schedule_, plan)->steps[2].c, 0.0);
}

TEST_F(FeedbackPlanTest, FittedCoefficientsTakeThePlaceOfTheSolvers) {
  const StepPlan plain = MakeFeedbackStepPlan(schedule_, {.steps = 2}).value();
  const StepPlan made =
      MakeFeedbackStepPlan(schedule_,
                           {.steps = 2, .coefficients = {{0.5, 0.6, 0}, {0.1, 1.2, -0.3}}})
          .value();
  EXPECT_EQ(made.steps[0].a, 0.5);
  EXPECT_EQ(made.steps[1].b, 1.2);
  EXPECT_EQ(made.steps[1].c, -0.3);
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(made.steps[i].p, plain.steps[i].p);
    EXPECT_EQ(made.steps[i].q, plain.steps[i].q);
  }
}

TEST_F(FeedbackPlanTest, FittedCoefficientsMustAgreeThatFeedbackIsOutsideOfTheHistory) {
  FeedbackPlan plan = {.steps = 3,
                       .coefficients = {{0.5, 0.6, 0}, {0.1, 1.2, 0}, {0.1, 1.2, -0.3}},
                       .feedback = {{1, 0}},
                       .feedback_in_history = false};
  EXPECT_THAT(ErrorOf(plan), HasSubstr("c of coefficients must be 0 at step 2, is -0.3"));
  plan.coefficients[2].c = 0;
  EXPECT_TRUE(MakeFeedbackStepPlan(schedule_, plan).ok());
  plan.coefficients[2].c = -0.3;
  plan.feedback_in_history = true;
  EXPECT_TRUE(MakeFeedbackStepPlan(schedule_, plan).ok());
}

TEST_F(FeedbackPlanTest, SaysWhatIsOutOfRange) {
  EXPECT_THAT(ErrorOf({.steps = 2, .coefficients = {{1, 1, 0}}}),
              HasSubstr("coefficients must be as many as steps, 2, are 1"));
  EXPECT_THAT(ErrorOf({.steps = 1, .coefficients = {{1, std::nan(""), 0}}}),
              HasSubstr("coefficients must be finite"));
  EXPECT_THAT(ErrorOf({.steps = 1, .coefficients = {{1, 1, 1}}}), HasSubstr("its c must be 0"));
  EXPECT_THAT(ErrorOf({.steps = 1, .solver = SolverKind::kDdim, .coefficients = {{1, 1, 0}}}),
              HasSubstr("only replace those of dpmsolver++"));
  EXPECT_THAT(ErrorOf({.steps = 2, .solver = SolverKind::kEuler}),
              HasSubstr("with ddim or dpmsolver++, not euler"));
  EXPECT_THAT(ErrorOf({.steps = 0}), HasSubstr("steps must be 1 to 1000, is 0"));
  EXPECT_THAT(ErrorOf({.steps = 2, .timesteps = {999}}), HasSubstr("as many as steps, 2, are 1"));
  EXPECT_THAT(ErrorOf({.steps = 2, .timesteps = {500, 500}}), HasSubstr("timesteps must fall"));
  EXPECT_THAT(ErrorOf({.steps = 2, .timesteps = {1000, 500}}), HasSubstr("at most 999"));
  EXPECT_THAT(ErrorOf({.steps = 2, .feedback = {{2, 0}}}), HasSubstr("feedback_steps must rise"));
  EXPECT_THAT(ErrorOf({.steps = 3, .feedback = {{1, 0}, {1, 0}}}),
              HasSubstr("feedback_steps must rise from at least 0 to at most 2, one is 1"));
  EXPECT_THAT(ErrorOf({.steps = 3, .feedback = {{1, 1000}}}),
              HasSubstr("target_timesteps must be 0 to 999, one is 1000"));
}

}  // namespace
}  // namespace ilf
