#include "engine/sampling/noise_schedule.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace ilf {
namespace {

using ::testing::HasSubstr;

NoiseSchedule Make(const NoiseScheduleConfig& config) {
  auto schedule = NoiseSchedule::Create(config);
  EXPECT_TRUE(schedule.ok()) << schedule.status();
  return *std::move(schedule);
}

// Expected values: diffusers 0.42.1's alphas_cumprod.
struct Published {
  BetaSchedule beta_schedule;
  int timestep;
  double alpha_cumprod;
};

TEST(NoiseScheduleTest, AlphasAreThoseThatDiffusersComputes) {
  const Published cases[] = {
      {BetaSchedule::kLinear, 0, 0.9998999834060669},
      {BetaSchedule::kLinear, 499, 0.07858723402023315},
      {BetaSchedule::kLinear, 999, 4.035830352222547e-05},
      {BetaSchedule::kScaledLinear, 0, 0.9991499781608582},
      {BetaSchedule::kScaledLinear, 500, 0.27633246779441833},
      {BetaSchedule::kScaledLinear, 999, 0.00466009508818388},
      {BetaSchedule::kSquaredCosCapV2, 0, 0.9999586939811707},
      {BetaSchedule::kSquaredCosCapV2, 499, 0.4938434660434723},
      {BetaSchedule::kSquaredCosCapV2, 999, 2.4287349909002387e-09},
  };
  for (const Published& expected : cases) {
    NoiseScheduleConfig config;
    config.beta_schedule = expected.beta_schedule;
    if (config.beta_schedule == BetaSchedule::kScaledLinear) {
      config.beta_start = 0.00085;
      config.beta_end = 0.012;
    }
    const double alpha_cumprod = Make(config).AlphaCumprod(expected.timestep);
    EXPECT_NEAR(alpha_cumprod / expected.alpha_cumprod, 1.0, 2e-7) << "at " << expected.timestep;
  }
}

TEST(NoiseScheduleTest, AShortScheduleMultipliesItsAlphas) {
  NoiseScheduleConfig config;
  config.num_train_timesteps = 3;
  config.beta_start = 0.1;
  config.beta_end = 0.3;
  const NoiseSchedule schedule = Make(config);
  EXPECT_NEAR(schedule.AlphaCumprod(0), 0.9, 1e-7);
  EXPECT_NEAR(schedule.AlphaCumprod(1), 0.9 * 0.8, 1e-7);
  EXPECT_NEAR(schedule.AlphaCumprod(2), 0.9 * 0.8 * 0.7, 1e-7);
}

TEST(NoiseScheduleTest, SigmaIsNoisePerSignalAndLinearInBetween) {
  const NoiseSchedule schedule = Make({});
  const auto sigma = [&](int t) {
    return std::sqrt(1 - schedule.AlphaCumprod(t)) / std::sqrt(schedule.AlphaCumprod(t));
  };
  EXPECT_NEAR(schedule.SigmaAt(946) / sigma(946), 1.0, 1e-12);
  EXPECT_NEAR(schedule.SigmaAt(946.25), 0.75 * sigma(946) + 0.25 * sigma(947), 1e-9);
  EXPECT_NEAR(schedule.SigmaAt(999) / sigma(999), 1.0, 1e-12);
}

TEST(NoiseScheduleTest, DdimEndsAtNoNoiseOrAtTimestepZero) {
  NoiseScheduleConfig config;
  EXPECT_EQ(Make(config).FinalAlphaCumprod(), 1.0);
  config.set_alpha_to_one = false;
  EXPECT_EQ(Make(config).FinalAlphaCumprod(), Make(config).AlphaCumprod(0));
}

TEST(NoiseScheduleTest, RefusalsNameTheKey) {
  const auto refusal = [](auto change) {
    NoiseScheduleConfig config;
    change(config);
    const auto schedule = NoiseSchedule::Create(config);
    EXPECT_EQ(schedule.status().code(), absl::StatusCode::kInvalidArgument);
    return std::string(schedule.status().message());
  };
  using Config = NoiseScheduleConfig;
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_THAT(refusal([](Config& c) { c.num_train_timesteps = 0; }),
              HasSubstr("num_train_timesteps"));
  EXPECT_THAT(refusal([](Config& c) { c.num_train_timesteps = 2'000'000; }),
              HasSubstr("num_train_timesteps"));
  EXPECT_THAT(refusal([](Config& c) { c.beta_start = 0; }), HasSubstr("beta_start"));
  EXPECT_THAT(refusal([](Config& c) { c.beta_start = kNan; }), HasSubstr("beta_start"));
  EXPECT_THAT(refusal([](Config& c) { c.beta_end = 1; }), HasSubstr("beta_end"));
  EXPECT_THAT(refusal([](Config& c) { c.beta_end = 0.00001; }), HasSubstr("beta_end"));
  EXPECT_THAT(refusal([](Config& c) { c.beta_start = c.beta_end = 0.999; }),
              HasSubstr("no signal"));
  EXPECT_THAT(refusal([](Config& c) { c.beta_start = c.beta_end = 1e-12; }), HasSubstr("no noise"));
  EXPECT_THAT(refusal([](Config& c) { c.steps_offset = -1; }), HasSubstr("steps_offset"));
  EXPECT_THAT(refusal([](Config& c) { c.steps_offset = 1000; }), HasSubstr("steps_offset"));
  EXPECT_THAT(refusal([](Config& c) { c.clip_sample_range = 0; }), HasSubstr("clip_sample_range"));
  EXPECT_THAT(refusal([](Config& c) { c.clip_sample_range = kNan; }),
              HasSubstr("clip_sample_range"));
  EXPECT_THAT(refusal([](Config& c) { c.solver_order = 0; }), HasSubstr("solver_order"));
  EXPECT_THAT(refusal([](Config& c) { c.lambda_min_clipped = kNan; }),
              HasSubstr("lambda_min_clipped"));
}

TEST(NoiseScheduleTest, AClipRangeThatIsNotUsedIsNotChecked) {
  NoiseScheduleConfig config;
  config.clip_sample = false;
  config.clip_sample_range = 0;
  EXPECT_TRUE(NoiseSchedule::Create(config).ok());
}

}  // namespace
}  // namespace ilf
