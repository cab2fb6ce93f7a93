#include "engine/pipeline/scheduler_config.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "engine/base/status_macros.h"

namespace ilf {
namespace {

absl::Status Wrong(const JsonConfig& json, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(json.origin(), ": ", what));
}

// The value of a key that holds one of a few names; `value` keeps its default when the key is
// absent.
template <typename Enum>
absl::Status ReadName(const JsonConfig& json, absl::string_view key,
                      absl::Span<const std::pair<absl::string_view, Enum>> names, Enum* value) {
  if (!json.Has(key)) return absl::OkStatus();
  ILF_ASSIGN_OR_RETURN(const std::string found, json.GetString(key));
  std::string known;
  for (const auto& [name, meaning] : names) {
    if (name == found) {
      *value = meaning;
      return absl::OkStatus();
    }
    absl::StrAppend(&known, known.empty() ? "" : ", ", name);
  }
  return Wrong(json, absl::StrCat(key, " '", found, "' is not supported, only ", known));
}

absl::Status RefuseWhatWeCannot(const JsonConfig& json) {
  for (const char* key : {"thresholding", "use_exponential_sigmas", "use_beta_sigmas",
                          "use_flow_sigmas", "rescale_betas_zero_snr"}) {
    ILF_ASSIGN_OR_RETURN(const bool on, json.GetBool(key, false));
    if (on) return Wrong(json, absl::StrCat(key, " is not supported"));
  }
  if (json.Has("trained_betas")) return Wrong(json, "trained_betas is not supported");
  return absl::OkStatus();
}

absl::Status ReadCommon(const JsonConfig& json, NoiseScheduleConfig& c) {
  ILF_ASSIGN_OR_RETURN(const int64_t train_timesteps,
                       json.GetInt("num_train_timesteps", c.num_train_timesteps));
  if (train_timesteps < 1 || train_timesteps > 1'000'000) {
    return Wrong(json, "num_train_timesteps must be 1 to 1000000");
  }
  c.num_train_timesteps = static_cast<int>(train_timesteps);
  ILF_ASSIGN_OR_RETURN(c.beta_start, json.GetDouble("beta_start", c.beta_start));
  ILF_ASSIGN_OR_RETURN(c.beta_end, json.GetDouble("beta_end", c.beta_end));
  ILF_RETURN_IF_ERROR(
      ReadName<BetaSchedule>(json, "beta_schedule",
                             {{"linear", BetaSchedule::kLinear},
                              {"scaled_linear", BetaSchedule::kScaledLinear},
                              {"squaredcos_cap_v2", BetaSchedule::kSquaredCosCapV2}},
                             &c.beta_schedule));
  ILF_RETURN_IF_ERROR(ReadName<PredictionType>(json, "prediction_type",
                                               {{"epsilon", PredictionType::kEpsilon},
                                                {"v_prediction", PredictionType::kVPrediction},
                                                {"sample", PredictionType::kSample}},
                                               &c.prediction_type));
  ILF_RETURN_IF_ERROR(ReadName<TimestepSpacing>(json, "timestep_spacing",
                                                {{"leading", TimestepSpacing::kLeading},
                                                 {"trailing", TimestepSpacing::kTrailing},
                                                 {"linspace", TimestepSpacing::kLinspace}},
                                                &c.timestep_spacing));
  ILF_ASSIGN_OR_RETURN(const int64_t offset, json.GetInt("steps_offset", c.steps_offset));
  if (offset < 0 || offset >= train_timesteps) {
    return Wrong(json, "steps_offset must be 0 to num_train_timesteps - 1");
  }
  c.steps_offset = static_cast<int>(offset);
  return absl::OkStatus();
}

absl::Status ReadDdim(const JsonConfig& json, NoiseScheduleConfig& c) {
  ILF_ASSIGN_OR_RETURN(c.clip_sample, json.GetBool("clip_sample", c.clip_sample));
  ILF_ASSIGN_OR_RETURN(c.clip_sample_range,
                       json.GetDouble("clip_sample_range", c.clip_sample_range));
  ILF_ASSIGN_OR_RETURN(c.set_alpha_to_one, json.GetBool("set_alpha_to_one", c.set_alpha_to_one));
  return absl::OkStatus();
}

absl::Status ReadFinalSigmas(const JsonConfig& json, NoiseScheduleConfig& c) {
  return ReadName<FinalSigmas>(
      json, "final_sigmas_type",
      {{"zero", FinalSigmas::kZero}, {"sigma_min", FinalSigmas::kSigmaMin}}, &c.final_sigmas_type);
}

absl::Status ReadDpmSolver(const JsonConfig& json, NoiseScheduleConfig& c) {
  ILF_ASSIGN_OR_RETURN(const std::string algorithm,
                       json.GetString("algorithm_type", "dpmsolver++"));
  if (algorithm != "dpmsolver++") {
    return Wrong(
        json, absl::StrCat("algorithm_type '", algorithm, "' is not supported, only dpmsolver++"));
  }
  ILF_ASSIGN_OR_RETURN(const bool karras, json.GetBool("use_karras_sigmas", false));
  ILF_ASSIGN_OR_RETURN(const bool log_snr, json.GetBool("use_lu_lambdas", false));
  if (karras && log_snr)
    return Wrong(json, "use_karras_sigmas and use_lu_lambdas exclude each other");
  if (karras) c.level_spacing = LevelSpacing::kKarras;
  if (log_snr) c.level_spacing = LevelSpacing::kLogSnr;
  ILF_ASSIGN_OR_RETURN(const int64_t order, json.GetInt("solver_order", c.solver_order));
  if (order < 1 || order > 2) return Wrong(json, "solver_order must be 1 or 2");
  c.solver_order = static_cast<int>(order);
  ILF_RETURN_IF_ERROR(ReadName<SolverType>(
      json, "solver_type", {{"midpoint", SolverType::kMidpoint}, {"heun", SolverType::kHeun}},
      &c.solver_type));
  ILF_RETURN_IF_ERROR(ReadFinalSigmas(json, c));
  ILF_ASSIGN_OR_RETURN(c.lower_order_final, json.GetBool("lower_order_final", c.lower_order_final));
  ILF_ASSIGN_OR_RETURN(c.euler_at_final, json.GetBool("euler_at_final", c.euler_at_final));
  ILF_ASSIGN_OR_RETURN(c.lambda_min_clipped,
                       json.GetDouble("lambda_min_clipped", c.lambda_min_clipped));
  return absl::OkStatus();
}

absl::Status ReadEuler(const JsonConfig& json, NoiseScheduleConfig& c) {
  for (const auto& [key, only] :
       {std::pair("interpolation_type", "linear"), std::pair("timestep_type", "discrete")}) {
    ILF_ASSIGN_OR_RETURN(const std::string found, json.GetString(key, only));
    if (found == only) continue;
    return Wrong(json, absl::StrCat(key, " '", found, "' is not supported, only ", only));
  }
  for (const char* key : {"sigma_min", "sigma_max"}) {
    if (json.Has(key)) return Wrong(json, absl::StrCat(key, " is not supported"));
  }
  ILF_ASSIGN_OR_RETURN(const bool karras, json.GetBool("use_karras_sigmas", false));
  if (karras) c.level_spacing = LevelSpacing::kKarras;
  return ReadFinalSigmas(json, c);
}

absl::Status ReadOwn(const JsonConfig& json, SolverKind solver, NoiseScheduleConfig& c) {
  switch (solver) {
    case SolverKind::kDdim:
      return ReadDdim(json, c);
    case SolverKind::kDpmSolverPp2m:
      return ReadDpmSolver(json, c);
    case SolverKind::kEuler:
      return ReadEuler(json, c);
  }
  return Wrong(json, "unknown solver");
}

}  // namespace

absl::StatusOr<SchedulerConfig> ReadSchedulerConfig(const JsonConfig& json) {
  ILF_RETURN_IF_ERROR(RefuseWhatWeCannot(json));
  SchedulerConfig config;
  ILF_RETURN_IF_ERROR(
      ReadName<SolverKind>(json, "_class_name",
                           {{"DDIMScheduler", SolverKind::kDdim},
                            {"DPMSolverMultistepScheduler", SolverKind::kDpmSolverPp2m},
                            {"EulerDiscreteScheduler", SolverKind::kEuler}},
                           &config.default_solver));
  config.schedule = DefaultConfigOf(config.default_solver);
  ILF_RETURN_IF_ERROR(ReadCommon(json, config.schedule));
  ILF_RETURN_IF_ERROR(ReadOwn(json, config.default_solver, config.schedule));
  return config;
}

}  // namespace ilf
