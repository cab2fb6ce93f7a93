#include "engine/pipeline/scheduler_config.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ilf {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

absl::StatusOr<SchedulerConfig> Read(const std::string& text) {
  return ReadSchedulerConfig(*JsonConfig::FromText(text, "scheduler_config.json"));
}

std::string ErrorOf(const std::string& text) { return std::string(Read(text).status().message()); }

TEST(SchedulerConfigTest, ClassDecidesTheDefaultSolver) {
  EXPECT_EQ(Read(R"({"_class_name": "DDIMScheduler"})")->default_solver, SolverKind::kDdim);
  EXPECT_EQ(Read(R"({"_class_name": "DPMSolverMultistepScheduler"})")->default_solver,
            SolverKind::kDpmSolverPp2m);
  EXPECT_EQ(Read(R"({"_class_name": "EulerDiscreteScheduler"})")->default_solver,
            SolverKind::kEuler);
}

TEST(SchedulerConfigTest, MissingKeysTakeTheDefaultsOfTheClass) {
  const SchedulerConfig ddim = *Read(R"({"_class_name": "DDIMScheduler"})");
  EXPECT_TRUE(ddim.schedule.clip_sample);
  EXPECT_EQ(ddim.schedule.timestep_spacing, TimestepSpacing::kLeading);
  const SchedulerConfig dpm = *Read(R"({"_class_name": "DPMSolverMultistepScheduler"})");
  EXPECT_EQ(dpm.schedule.timestep_spacing, TimestepSpacing::kLinspace);
  EXPECT_EQ(dpm.schedule.final_sigmas_type, FinalSigmas::kZero);
}

TEST(SchedulerConfigTest, ReadsWhatAPublishedFileSays) {
  const SchedulerConfig config = *Read(R"({
      "_class_name": "DPMSolverMultistepScheduler", "algorithm_type": "dpmsolver++",
      "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear",
      "lambda_min_clipped": -Infinity, "num_train_timesteps": 1000, "solver_order": 1,
      "solver_type": "heun", "timestep_spacing": "trailing", "steps_offset": 1,
      "final_sigmas_type": "sigma_min", "lower_order_final": false, "euler_at_final": true,
      "prediction_type": "v_prediction", "variance_type": null})");
  EXPECT_DOUBLE_EQ(config.schedule.beta_end, 0.012);
  EXPECT_EQ(config.schedule.beta_schedule, BetaSchedule::kScaledLinear);
  EXPECT_EQ(config.schedule.solver_order, 1);
  EXPECT_EQ(config.schedule.solver_type, SolverType::kHeun);
  EXPECT_EQ(config.schedule.timestep_spacing, TimestepSpacing::kTrailing);
  EXPECT_EQ(config.schedule.steps_offset, 1);
  EXPECT_EQ(config.schedule.final_sigmas_type, FinalSigmas::kSigmaMin);
  EXPECT_FALSE(config.schedule.lower_order_final);
  EXPECT_TRUE(config.schedule.euler_at_final);
  EXPECT_EQ(config.schedule.prediction_type, PredictionType::kVPrediction);
}

TEST(SchedulerConfigTest, RefusesWhatItCannotDoAndNamesTheKey) {
  for (const char* key : {"thresholding", "use_beta_sigmas", "rescale_betas_zero_snr"}) {
    EXPECT_THAT(ErrorOf("{\"" + std::string(key) + "\": true}"),
                AllOf(HasSubstr("scheduler_config.json"), HasSubstr(key)));
  }
  EXPECT_THAT(ErrorOf(R"({"_class_name": "PNDMScheduler"})"), HasSubstr("PNDMScheduler"));
  EXPECT_THAT(ErrorOf(R"({"beta_schedule": "sigmoid"})"), HasSubstr("beta_schedule 'sigmoid'"));
  EXPECT_THAT(ErrorOf(R"({"_class_name": "DPMSolverMultistepScheduler", "solver_order": 3})"),
              HasSubstr("solver_order"));
  EXPECT_THAT(ErrorOf(R"({"_class_name": "DPMSolverMultistepScheduler",
                          "algorithm_type": "sde-dpmsolver++"})"),
              HasSubstr("algorithm_type"));
  EXPECT_THAT(ErrorOf(R"({"trained_betas": [0.1]})"), HasSubstr("trained_betas"));
}

TEST(SchedulerConfigTest, ReadsTheLevelSpacingOfDpmSolver) {
  const auto spacing = [](const std::string& keys) {
    return Read(R"({"_class_name": "DPMSolverMultistepScheduler")" + keys + "}")
        ->schedule.level_spacing;
  };
  EXPECT_EQ(spacing(""), LevelSpacing::kByTimestep);
  EXPECT_EQ(spacing(R"(, "use_karras_sigmas": true)"), LevelSpacing::kKarras);
  EXPECT_EQ(spacing(R"(, "use_lu_lambdas": true)"), LevelSpacing::kLogSnr);
  EXPECT_THAT(ErrorOf(R"({"_class_name": "DPMSolverMultistepScheduler", "use_karras_sigmas": true,
                          "use_lu_lambdas": true})"),
              HasSubstr("exclude each other"));
}

TEST(SchedulerConfigTest, ReadsEuler) {
  const SchedulerConfig plain = *Read(R"({"_class_name": "EulerDiscreteScheduler"})");
  EXPECT_EQ(plain.schedule.timestep_spacing, TimestepSpacing::kLinspace);
  EXPECT_EQ(plain.schedule.level_spacing, LevelSpacing::kByTimestep);
  EXPECT_EQ(plain.schedule.final_sigmas_type, FinalSigmas::kZero);
  EXPECT_FALSE(plain.schedule.clip_sample);
  const SchedulerConfig config = *Read(R"({
      "_class_name": "EulerDiscreteScheduler", "interpolation_type": "linear",
      "timestep_type": "discrete", "sigma_min": null, "sigma_max": null, "trained_betas": null,
      "use_karras_sigmas": true, "use_beta_sigmas": false, "final_sigmas_type": "sigma_min",
      "timestep_spacing": "leading", "steps_offset": 1, "prediction_type": "v_prediction"})");
  EXPECT_EQ(config.default_solver, SolverKind::kEuler);
  EXPECT_EQ(config.schedule.level_spacing, LevelSpacing::kKarras);
  EXPECT_EQ(config.schedule.final_sigmas_type, FinalSigmas::kSigmaMin);
  EXPECT_EQ(config.schedule.timestep_spacing, TimestepSpacing::kLeading);
  EXPECT_EQ(config.schedule.steps_offset, 1);
  EXPECT_EQ(config.schedule.prediction_type, PredictionType::kVPrediction);
}

TEST(SchedulerConfigTest, RefusesWhatEulerCannotDoHere) {
  for (const char* setting :
       {R"("interpolation_type": "log_linear")", R"("timestep_type": "continuous")",
        R"("final_sigmas_type": "sigma_max")", R"("sigma_min": 0.02)", R"("sigma_max": 80)",
        R"("use_exponential_sigmas": true)", R"("use_beta_sigmas": true)",
        R"("rescale_betas_zero_snr": true)"}) {
    const std::string text = setting;
    EXPECT_THAT(ErrorOf(R"({"_class_name": "EulerDiscreteScheduler", )" + text + "}"),
                AllOf(HasSubstr("scheduler_config.json"), HasSubstr("not supported"),
                      HasSubstr(text.substr(1, text.find(':') - 2))));
  }
}

TEST(SchedulerConfigTest, RefusesNumbersOutOfRange) {
  EXPECT_THAT(ErrorOf(R"({"num_train_timesteps": 0})"), HasSubstr("num_train_timesteps"));
  EXPECT_THAT(ErrorOf(R"({"steps_offset": -1})"), HasSubstr("steps_offset"));
}

}  // namespace
}  // namespace ilf
