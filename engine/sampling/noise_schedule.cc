#include "engine/sampling/noise_schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "engine/base/check.h"
#include "engine/base/status_macros.h"

namespace ilf {
namespace {

constexpr int kMaxTrainTimesteps = 1'000'000;

// torch.linspace in float32: counts up from the first value and, in the second half, down from the
// last.
std::vector<float> LinearRamp(float first, float last, int count) {
  std::vector<float> values(count, first);
  if (count == 1) return values;
  const float step = (last - first) / static_cast<float>(count - 1);
  for (int i = 0; i < count; ++i) {
    values[i] = i < count / 2 ? std::fma(step, static_cast<float>(i), first)
                              : std::fma(-step, static_cast<float>(count - 1 - i), last);
  }
  return values;
}

double CosineAlphaBar(double time) {
  const double angle = (time + 0.008) / 1.008 * std::numbers::pi / 2;
  return std::cos(angle) * std::cos(angle);
}

std::vector<float> MakeBetas(const NoiseScheduleConfig& config) {
  const int count = config.num_train_timesteps;
  switch (config.beta_schedule) {
    case BetaSchedule::kLinear:
      return LinearRamp(static_cast<float>(config.beta_start), static_cast<float>(config.beta_end),
                        count);
    case BetaSchedule::kScaledLinear: {
      std::vector<float> betas = LinearRamp(static_cast<float>(std::sqrt(config.beta_start)),
                                            static_cast<float>(std::sqrt(config.beta_end)), count);
      for (float& beta : betas) beta *= beta;
      return betas;
    }
    case BetaSchedule::kSquaredCosCapV2: {
      std::vector<float> betas(count);
      for (int i = 0; i < count; ++i) {
        const double now = CosineAlphaBar(static_cast<double>(i) / count);
        const double next = CosineAlphaBar(static_cast<double>(i + 1) / count);
        betas[i] = static_cast<float>(std::min(1.0 - next / now, 0.999));
      }
      return betas;
    }
  }
  Check(false, "unknown beta schedule");
  return {};
}

absl::Status ValidateBetas(const NoiseScheduleConfig& config) {
  if (config.beta_schedule == BetaSchedule::kSquaredCosCapV2) return absl::OkStatus();
  const bool in_order =
      config.beta_start > 0 && config.beta_start <= config.beta_end && config.beta_end < 1;
  if (in_order) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("beta_start and beta_end must satisfy 0 < beta_start <= beta_end < 1, got ",
                   config.beta_start, " and ", config.beta_end));
}

absl::Status Validate(const NoiseScheduleConfig& config) {
  if (config.num_train_timesteps < 1 || config.num_train_timesteps > kMaxTrainTimesteps) {
    return absl::InvalidArgumentError(absl::StrCat("num_train_timesteps must be 1 to ",
                                                   kMaxTrainTimesteps, ", got ",
                                                   config.num_train_timesteps));
  }
  ILF_RETURN_IF_ERROR(ValidateBetas(config));
  if (config.steps_offset < 0 || config.steps_offset >= config.num_train_timesteps) {
    return absl::InvalidArgumentError(absl::StrCat(
        "steps_offset must be 0 to num_train_timesteps - 1, got ", config.steps_offset));
  }
  const bool usable_range = std::isfinite(config.clip_sample_range) && config.clip_sample_range > 0;
  if (config.clip_sample && !usable_range) {
    return absl::InvalidArgumentError(
        absl::StrCat("clip_sample_range must be positive, got ", config.clip_sample_range));
  }
  if (config.solver_order < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("solver_order must be at least 1, got ", config.solver_order));
  }
  if (std::isnan(config.lambda_min_clipped)) {
    return absl::InvalidArgumentError("lambda_min_clipped must be a number");
  }
  return absl::OkStatus();
}

}  // namespace

absl::string_view SpacingName(Spacing spacing) {
  switch (spacing) {
    case Spacing::kLeading:
      return "leading";
    case Spacing::kTrailing:
      return "trailing";
    case Spacing::kLinspace:
      return "linspace";
    case Spacing::kKarras:
      return "karras";
    case Spacing::kLogSnr:
      return "log_snr";
  }
  return "";
}

std::optional<Spacing> SpacingNamed(absl::string_view name) {
  for (const Spacing spacing : kAllSpacings) {
    if (name == SpacingName(spacing)) return spacing;
  }
  return std::nullopt;
}

NoiseSchedule::NoiseSchedule(const NoiseScheduleConfig& config, std::vector<double> alphas_cumprod)
    : config_(config), alphas_cumprod_(std::move(alphas_cumprod)) {}

absl::StatusOr<NoiseSchedule> NoiseSchedule::Create(const NoiseScheduleConfig& config) {
  ILF_RETURN_IF_ERROR(Validate(config));
  std::vector<double> alphas_cumprod;
  alphas_cumprod.reserve(config.num_train_timesteps);
  double product = 1.0;
  for (const float beta : MakeBetas(config)) {
    product *= 1.0f - beta;
    alphas_cumprod.push_back(static_cast<float>(product));
  }
  // Every alpha is below 1, so the product falls: its ends bound all of it.
  if (alphas_cumprod.back() <= 0.0 || alphas_cumprod.front() >= 1.0) {
    return absl::InvalidArgumentError(
        "beta_start, beta_end and num_train_timesteps leave no signal or add no noise");
  }
  return NoiseSchedule(config, std::move(alphas_cumprod));
}

NoiseSchedule NoiseSchedule::With(Spacing spacing) const {
  NoiseSchedule schedule = *this;
  LevelSpacing& levels = schedule.config_.level_spacing;
  TimestepSpacing& timesteps = schedule.config_.timestep_spacing;
  levels = LevelSpacing::kByTimestep;
  if (spacing == Spacing::kLeading) timesteps = TimestepSpacing::kLeading;
  if (spacing == Spacing::kTrailing) timesteps = TimestepSpacing::kTrailing;
  if (spacing == Spacing::kLinspace) timesteps = TimestepSpacing::kLinspace;
  if (spacing == Spacing::kKarras) levels = LevelSpacing::kKarras;
  if (spacing == Spacing::kLogSnr) levels = LevelSpacing::kLogSnr;
  return schedule;
}

double NoiseSchedule::AlphaCumprod(int timestep) const {
  Check(timestep >= 0 && timestep < num_train_timesteps(), "timestep lies outside of the schedule");
  return alphas_cumprod_[timestep];
}

double NoiseSchedule::FinalAlphaCumprod() const {
  return config_.set_alpha_to_one ? 1.0 : alphas_cumprod_.front();
}

double NoiseSchedule::SigmaAt(double timestep) const {
  Check(timestep >= 0 && timestep <= num_train_timesteps() - 1,
        "timestep lies outside of the schedule");
  const auto sigma = [this](int t) {
    return std::sqrt((1.0 - alphas_cumprod_[t]) / alphas_cumprod_[t]);
  };
  const int below = static_cast<int>(timestep);
  const double fraction = timestep - below;
  if (fraction == 0.0) return sigma(below);
  return sigma(below) + fraction * (sigma(below + 1) - sigma(below));
}

double NoiseSchedule::TimestepAt(double sigma) const {
  const int last = num_train_timesteps() - 1;
  int above = 1;  // the first timestep with more noise
  while (above < last && SigmaAt(above) <= sigma) ++above;
  if (last == 0) return 0.0;
  const double low = std::log(SigmaAt(above - 1));
  const double high = std::log(SigmaAt(above));
  return above - 1 + std::clamp((std::log(sigma) - low) / (high - low), 0.0, 1.0);
}

}  // namespace ilf
