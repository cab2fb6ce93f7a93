// Laws that every solver obeys, whatever diffusers computes.
#include "engine/sampling/solver.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

namespace ilf {
namespace {

constexpr SolverKind kSolvers[] = {SolverKind::kDdim, SolverKind::kDpmSolverPp2m,
                                   SolverKind::kEuler};
constexpr PredictionType kPredictions[] = {PredictionType::kEpsilon, PredictionType::kVPrediction,
                                           PredictionType::kSample};
constexpr TimestepSpacing kSpacings[] = {TimestepSpacing::kLeading, TimestepSpacing::kTrailing,
                                         TimestepSpacing::kLinspace};

NoiseScheduleConfig Unclipped() {
  NoiseScheduleConfig config;
  config.clip_sample = false;
  return config;
}

NoiseSchedule Make(const NoiseScheduleConfig& config) { return *NoiseSchedule::Create(config); }

StepPlan Plan(const NoiseScheduleConfig& config, SolverKind solver, int steps) {
  const auto plan = MakeStepPlan(Make(config), solver, steps);
  EXPECT_TRUE(plan.ok()) << plan.status();
  return plan.value_or(StepPlan());
}

// One number in place of a latent.
struct Point {
  double x = 0.0;
  double x0 = 0.0;
};

Point Take(const PlannedStep& step, const Point& from, double output) {
  const double x0 = step.p * from.x + step.q * output;
  return {step.a * from.x + step.b * x0 + step.c * from.x0 + step.e * output, x0};
}

// What a model that knows x0 and the noise answers.
double ExactOutput(PredictionType type, double alpha_cumprod, double x0, double noise) {
  switch (type) {
    case PredictionType::kEpsilon:
      return noise;
    case PredictionType::kVPrediction:
      return std::sqrt(alpha_cumprod) * noise - std::sqrt(1 - alpha_cumprod) * x0;
    case PredictionType::kSample:
      return x0;
  }
  return 0.0;
}

TEST(StepPlanTest, HasOneStepForEachThatWasAskedFor) {
  for (const SolverKind solver : kSolvers) {
    for (const TimestepSpacing spacing : kSpacings) {
      NoiseScheduleConfig config = Unclipped();
      config.timestep_spacing = spacing;
      for (const int steps : {1, 2, 7, 20, 250}) {
        const StepPlan plan = Plan(config, solver, steps);
        ASSERT_EQ(static_cast<int>(plan.steps.size()), steps);
        if (solver != SolverKind::kEuler) {
          EXPECT_EQ(plan.initial_noise_scale, 1.0);
        }
        EXPECT_EQ(plan.steps.front().c, 0.0) << "there is no x0 before the first step";
        for (int i = 1; i < steps; ++i) {
          EXPECT_LT(plan.steps[i].timestep, plan.steps[i - 1].timestep);
        }
      }
    }
  }
}

TEST(StepPlanTest, AnExactModelIsFollowedBackToItsPicture) {
  constexpr double kX0 = 0.7;
  constexpr double kNoise = -1.3;
  for (const SolverKind solver : kSolvers) {
    for (const PredictionType prediction : kPredictions) {
      NoiseScheduleConfig config = Unclipped();
      config.prediction_type = prediction;
      const NoiseSchedule schedule = Make(config);
      const StepPlan plan = Plan(config, solver, 10);
      const double first = schedule.AlphaCumprod(plan.steps[0].timestep);
      Point point{(std::sqrt(first) * kX0 + std::sqrt(1 - first) * kNoise) / plan.steps[0].c_in,
                  0.0};
      for (const PlannedStep& step : plan.steps) {
        const double alpha_cumprod = schedule.AlphaCumprod(step.timestep);
        point = Take(step, point, ExactOutput(prediction, alpha_cumprod, kX0, kNoise));
        EXPECT_NEAR(point.x0, kX0, 1e-9);
      }
      EXPECT_NEAR(point.x, kX0, 1e-9);
    }
  }
}

TEST(StepPlanTest, PredictionTypesDescribeTheSameStep) {
  constexpr double kX = 0.4;
  constexpr double kX0 = -0.6;
  for (const SolverKind solver : kSolvers) {
    NoiseScheduleConfig config = Unclipped();
    const NoiseSchedule schedule = Make(config);
    std::vector<double> results;
    for (const PredictionType prediction : kPredictions) {
      config.prediction_type = prediction;
      const PlannedStep step = Plan(config, solver, 10).steps[4];
      const double alpha_cumprod = schedule.AlphaCumprod(step.timestep);
      const double noise =
          (step.c_in * kX - std::sqrt(alpha_cumprod) * kX0) / std::sqrt(1 - alpha_cumprod);
      results.push_back(
          Take(step, {kX, 0.1}, ExactOutput(prediction, alpha_cumprod, kX0, noise)).x);
    }
    EXPECT_NEAR(results[0], results[1], 1e-12);
    EXPECT_NEAR(results[0], results[2], 1e-12);
  }
}

TEST(StepPlanTest, DdimMovesToTheLevelOfTheNextTimestep) {
  const NoiseSchedule schedule = Make(Unclipped());
  const StepPlan plan = Plan(Unclipped(), SolverKind::kDdim, 10);
  for (int i = 0; i < 10; ++i) {
    const double next = i + 1 < 10 ? schedule.AlphaCumprod(plan.steps[i + 1].timestep) : 1.0;
    const PlannedStep& step = plan.steps[i];
    EXPECT_NEAR(step.b * step.b, next, 1e-12);
    EXPECT_NEAR(step.b * step.b + step.e * step.e, 1.0, 1e-12) << "variance is preserved";
  }
}

// So a feedback pass, whose output speaks of a later point, may be applied to where it started: to
// move there first with that output, and on from there with it, ends at the same place.
TEST(StepPlanTest, MovingOnWithTheSameNoiseIsOneStepOfDdim) {
  const StepPlan halves = Plan(Unclipped(), SolverKind::kDdim, 10);
  const StepPlan wholes = Plan(Unclipped(), SolverKind::kDdim, 5);
  for (int i = 0; i < 5; ++i) {
    const PlannedStep& first = halves.steps[2 * i + 1];
    ASSERT_EQ(first.timestep, wholes.steps[i].timestep);
    for (const double noise : {-1.0, 0.3}) {
      const Point from{0.8, 0.0};
      double x = Take(first, from, noise).x;
      if (i + 1 < 5) {
        x = Take(halves.steps[2 * i + 2], {x, 0.0}, noise).x;
      }
      EXPECT_NEAR(x, Take(wholes.steps[i], from, noise).x, 1e-12);
    }
  }
}

TEST(StepPlanTest, DdimsLastStepKeepsTheNoiseOfTimestepZeroWhereAlphaIsNotOne) {
  NoiseScheduleConfig config = Unclipped();
  config.set_alpha_to_one = false;
  const PlannedStep last = Plan(config, SolverKind::kDdim, 10).steps.back();
  EXPECT_NEAR(last.e * last.e, 1 - Make(config).AlphaCumprod(0), 1e-12);
}

TEST(StepPlanTest, OnlyDdimClips) {
  NoiseScheduleConfig config;
  config.clip_sample_range = 0.5;
  for (const PlannedStep& step : Plan(config, SolverKind::kDdim, 4).steps) {
    EXPECT_EQ(step.clip, 0.5);
  }
  for (const SolverKind solver : {SolverKind::kDpmSolverPp2m, SolverKind::kEuler}) {
    for (const PlannedStep& step : Plan(config, solver, 4).steps) {
      EXPECT_EQ(step.clip, std::numeric_limits<double>::infinity());
    }
  }
}

// A constant x0 must stay: whatever the order, a first-order step moves between the same levels.
TEST(StepPlanTest, DpmSolversHistoryOnlyWeighsTheChangeOfX0) {
  NoiseScheduleConfig config = DefaultConfigOf(SolverKind::kDpmSolverPp2m);
  const StepPlan second = Plan(config, SolverKind::kDpmSolverPp2m, 20);
  config.solver_order = 1;
  const StepPlan first = Plan(config, SolverKind::kDpmSolverPp2m, 20);
  for (int i = 0; i < 20; ++i) {
    EXPECT_NEAR(second.steps[i].b + second.steps[i].c, first.steps[i].b, 1e-12);
    EXPECT_EQ(second.steps[i].a, first.steps[i].a);
    EXPECT_EQ(first.steps[i].c, 0.0);
    EXPECT_EQ(second.steps[i].c != 0.0, i > 0 && i < 19) << "step " << i;
  }
}

TEST(StepPlanTest, DpmSolverAtFirstOrderIsDdim) {
  NoiseScheduleConfig config = Unclipped();
  config.num_train_timesteps = 100;
  config.solver_order = 1;
  config.timestep_spacing = TimestepSpacing::kTrailing;
  const StepPlan ddim = Plan(config, SolverKind::kDdim, 10);
  const StepPlan dpm = Plan(config, SolverKind::kDpmSolverPp2m, 10);
  for (int i = 0; i < 10; ++i) {
    ASSERT_EQ(ddim.steps[i].timestep, dpm.steps[i].timestep);
    for (const double output : {-1.0, 0.3}) {
      const Point from{0.8, 0.0};
      EXPECT_NEAR(Take(ddim.steps[i], from, output).x, Take(dpm.steps[i], from, output).x, 1e-9);
    }
  }
}

TEST(StepPlanTest, DpmSolverEndsAtX0OrAtTheLeastNoise) {
  NoiseScheduleConfig config = DefaultConfigOf(SolverKind::kDpmSolverPp2m);
  const PlannedStep to_zero = Plan(config, SolverKind::kDpmSolverPp2m, 20).steps.back();
  EXPECT_EQ(to_zero.a, 0.0);
  EXPECT_EQ(to_zero.b, 1.0);
  config.final_sigmas_type = FinalSigmas::kSigmaMin;
  const NoiseSchedule schedule = Make(config);
  const PlannedStep to_least = Plan(config, SolverKind::kDpmSolverPp2m, 20).steps.back();
  const double from = 1 - schedule.AlphaCumprod(to_least.timestep);
  EXPECT_NEAR(to_least.a * to_least.a * from, 1 - schedule.AlphaCumprod(0), 1e-9);
}

TEST(StepPlanTest, DpmSolverStaysWhereTheLastTimestepIsTheFinalLevel) {
  for (const SolverType type : {SolverType::kMidpoint, SolverType::kHeun}) {
    NoiseScheduleConfig config = DefaultConfigOf(SolverKind::kDpmSolverPp2m);
    config.timestep_spacing = TimestepSpacing::kTrailing;
    config.final_sigmas_type = FinalSigmas::kSigmaMin;
    config.solver_type = type;
    const PlannedStep last = Plan(config, SolverKind::kDpmSolverPp2m, 1000).steps.back();
    EXPECT_EQ(last.timestep, 0.0);
    EXPECT_EQ(last.a, 1.0);
    EXPECT_EQ(last.b, 0.0);
    EXPECT_EQ(last.c, 0.0);
  }
}

// Between the same levels, Euler takes DDIM's step: x / sqrt(sigma^2 + 1) is DDIM's latent.
TEST(StepPlanTest, EulerIsDdimOnAnotherScale) {
  NoiseScheduleConfig config = Unclipped();
  config.num_train_timesteps = 100;
  config.timestep_spacing = TimestepSpacing::kTrailing;
  for (const PredictionType prediction : kPredictions) {
    config.prediction_type = prediction;
    const StepPlan ddim = Plan(config, SolverKind::kDdim, 10);
    const StepPlan euler = Plan(config, SolverKind::kEuler, 10);
    for (int i = 0; i < 10; ++i) {
      ASSERT_EQ(ddim.steps[i].timestep, euler.steps[i].timestep);
      const double next_c_in = i + 1 < 10 ? euler.steps[i + 1].c_in : 1.0;
      for (const double output : {-1.0, 0.3}) {
        const Point to = Take(ddim.steps[i], {0.8, 0.0}, output);
        const Point same = Take(euler.steps[i], {0.8 / euler.steps[i].c_in, 0.0}, output);
        EXPECT_NEAR(same.x * next_c_in, to.x, 1e-9);
        EXPECT_NEAR(same.x0, to.x0, 1e-9);
      }
    }
  }
}

TEST(StepPlanTest, EulerStartsAtItsOwnHighestNoise) {
  NoiseScheduleConfig config = DefaultConfigOf(SolverKind::kEuler);
  for (const LevelSpacing levels : {LevelSpacing::kByTimestep, LevelSpacing::kKarras}) {
    config.level_spacing = levels;
    for (const TimestepSpacing spacing : {TimestepSpacing::kLinspace, TimestepSpacing::kTrailing}) {
      config.timestep_spacing = spacing;
      EXPECT_NEAR(Plan(config, SolverKind::kEuler, 4).initial_noise_scale,
                  Make(config).SigmaAt(999), 1e-9);
    }
    config.timestep_spacing = TimestepSpacing::kLeading;
    EXPECT_NEAR(Plan(config, SolverKind::kEuler, 4).initial_noise_scale,
                std::hypot(Make(config).SigmaAt(750), 1.0), 1e-9);
  }
  config = DefaultConfigOf(SolverKind::kEuler);
  EXPECT_NEAR(Plan(config, SolverKind::kEuler, 1).initial_noise_scale, Make(config).SigmaAt(0),
              1e-9);
}

TEST(StepPlanTest, EulerEndsAtX0OrAtTheLeastNoise) {
  NoiseScheduleConfig config = DefaultConfigOf(SolverKind::kEuler);
  config.timestep_spacing = TimestepSpacing::kTrailing;
  const PlannedStep to_zero = Plan(config, SolverKind::kEuler, 20).steps.back();
  EXPECT_EQ(to_zero.a, 0.0);
  EXPECT_EQ(to_zero.b, 1.0);
  config.final_sigmas_type = FinalSigmas::kSigmaMin;
  const PlannedStep to_least = Plan(config, SolverKind::kEuler, 20).steps.back();
  const NoiseSchedule schedule = Make(config);
  EXPECT_NEAR(to_least.a * schedule.SigmaAt(to_least.timestep), schedule.SigmaAt(0), 1e-9);
  const PlannedStep stays = Plan(config, SolverKind::kEuler, 1000).steps.back();
  EXPECT_EQ(stays.a, 1.0);
  EXPECT_EQ(stays.b, 0.0);
}

// from_config hands over what Euler has too, and drops the rest.
TEST(StepPlanTest, EulerKeepsOfAnotherSolversFileWhatItHas) {
  NoiseScheduleConfig dpm = DefaultConfigOf(SolverKind::kDpmSolverPp2m);
  const auto first_step = [&dpm] { return Plan(dpm, SolverKind::kEuler, 4).steps[1]; };
  const double by_timestep = first_step().timestep;
  dpm.level_spacing = LevelSpacing::kLogSnr;
  dpm.lambda_min_clipped = -1.0;
  dpm.solver_order = 3;
  EXPECT_EQ(first_step().timestep, by_timestep);
  dpm.level_spacing = LevelSpacing::kKarras;
  EXPECT_NE(first_step().timestep, by_timestep);
  EXPECT_EQ(Plan({}, SolverKind::kEuler, 4).steps.back().timestep, 0.0) << "DDIM's leading spacing";
  EXPECT_EQ(Plan({}, SolverKind::kEuler, 4).steps.front().timestep, 750.0);
}

TEST(StepPlanTest, RefusesOrdersThatDpmSolverDoesNotHave) {
  NoiseScheduleConfig config = Unclipped();
  config.solver_order = 3;
  EXPECT_EQ(MakeStepPlan(Make(config), SolverKind::kDpmSolverPp2m, 4).status().code(),
            absl::StatusCode::kUnimplemented);
  EXPECT_TRUE(MakeStepPlan(Make(config), SolverKind::kDdim, 4).ok());
}

TEST(MaxStepsTest, IsTheLargestPlanThatCanBeMade) {
  EXPECT_EQ(MaxSteps(Make({}), SolverKind::kDdim), 1000);
  EXPECT_EQ(MaxSteps(Make({}), SolverKind::kDpmSolverPp2m), 999);
  EXPECT_EQ(MaxSteps(Make({}), SolverKind::kEuler), 1000);
  NoiseScheduleConfig config;
  config.steps_offset = 1;
  EXPECT_EQ(MaxSteps(Make(config), SolverKind::kDdim), 999);
  EXPECT_EQ(MaxSteps(Make(config), SolverKind::kEuler), 999);
  config.solver_order = 3;
  EXPECT_EQ(MaxSteps(Make(config), SolverKind::kEuler), 999);
  EXPECT_EQ(MaxSteps(Make(config), SolverKind::kDpmSolverPp2m), 0);
}

TEST(MaxStepsTest, EveryNumberOfStepsUpToItHasAPlan) {
  for (const SolverKind solver : kSolvers) {
    for (const TimestepSpacing spacing : kSpacings) {
      for (const LevelSpacing levels : {LevelSpacing::kByTimestep, LevelSpacing::kKarras}) {
        NoiseScheduleConfig config = Unclipped();
        config.num_train_timesteps = 60;
        config.timestep_spacing = spacing;
        config.level_spacing = levels;
        const NoiseSchedule schedule = Make(config);
        const int most = MaxSteps(schedule, solver);
        EXPECT_GE(most, 59);
        EXPECT_FALSE(MakeStepPlan(schedule, solver, most + 1).ok());
        for (int steps = 1; steps <= most; ++steps) {
          EXPECT_TRUE(MakeStepPlan(schedule, solver, steps).ok()) << steps;
        }
      }
    }
  }
}

TEST(DefaultConfigTest, FollowsTheSchedulersOfDiffusers) {
  EXPECT_TRUE(DefaultConfigOf(SolverKind::kDdim).clip_sample);
  EXPECT_EQ(DefaultConfigOf(SolverKind::kDdim).timestep_spacing, TimestepSpacing::kLeading);
  for (const SolverKind solver : {SolverKind::kDpmSolverPp2m, SolverKind::kEuler}) {
    EXPECT_FALSE(DefaultConfigOf(solver).clip_sample);
    EXPECT_EQ(DefaultConfigOf(solver).timestep_spacing, TimestepSpacing::kLinspace);
  }
}

}  // namespace
}  // namespace ilf
