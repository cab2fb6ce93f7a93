// How much noise a sample holds at each training timestep: what a model was trained on, and what
// every solver of it works on. Described by diffusers' scheduler_config.json.
//
// A sample at timestep t is sqrt(alpha_cumprod(t)) * x0 + sqrt(1 - alpha_cumprod(t)) * noise.
#pragma once

#include <limits>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace ilf {

// How beta, the noise that one training timestep adds, grows from the first timestep to the last.
enum class BetaSchedule { kLinear, kScaledLinear, kSquaredCosCapV2 };

// What the model's output means.
enum class PredictionType { kEpsilon, kVPrediction, kSample };

// Which of the training timesteps a plan of few steps visits.
enum class TimestepSpacing { kLeading, kTrailing, kLinspace };

// How DPM-Solver++ spaces its noise levels (Euler: level_spacing.h): by timestep (TimestepSpacing),
// or between the noise
// levels of the last and of the first timestep, both included, where the model is told the nearest
// timestep: as Karras et al., "Elucidating the Design Space of Diffusion-Based Generative Models",
// equation 5, or evenly in log(signal / noise) (Lu et al., "DPM-Solver"; diffusers'
// use_lu_lambdas).
enum class LevelSpacing { kByTimestep, kKarras, kLogSnr };

// The two settings in one, as users name it.
enum class Spacing { kLeading, kTrailing, kLinspace, kKarras, kLogSnr };
inline constexpr Spacing kAllSpacings[] = {Spacing::kLeading, Spacing::kTrailing,
                                           Spacing::kLinspace, Spacing::kKarras, Spacing::kLogSnr};

// "leading", "trailing", "linspace", "karras", "log_snr".
absl::string_view SpacingName(Spacing spacing);
std::optional<Spacing> SpacingNamed(absl::string_view name);

// Where the trajectory of DPM-Solver++ or Euler ends: at no noise, or at the noise of timestep 0.
enum class FinalSigmas { kZero, kSigmaMin };

// How a second-order DPM-Solver++ step weighs the change of x0.
enum class SolverType { kMidpoint, kHeun };

// The keys of scheduler_config.json that matter here, under their own names. The values below are
// what diffusers' DDIMScheduler takes for a missing key; the last seven are
// DPMSolverMultistepScheduler's, of which EulerDiscreteScheduler has Karras spacing and
// final_sigmas_type.
struct NoiseScheduleConfig {
  int num_train_timesteps = 1000;
  double beta_start = 0.0001;
  double beta_end = 0.02;
  BetaSchedule beta_schedule = BetaSchedule::kLinear;
  PredictionType prediction_type = PredictionType::kEpsilon;
  TimestepSpacing timestep_spacing = TimestepSpacing::kLeading;
  int steps_offset = 0;  // added to every timestep of leading spacing

  bool clip_sample = true;  // DDIM clamps the predicted x0 to +-clip_sample_range
  double clip_sample_range = 1.0;
  bool set_alpha_to_one = true;  // DDIM's last step ends at x0 itself, else at timestep 0

  LevelSpacing level_spacing = LevelSpacing::kByTimestep;  // use_karras_sigmas, use_lu_lambdas
  int solver_order = 2;
  SolverType solver_type = SolverType::kMidpoint;
  bool lower_order_final = true;  // first order at the last of fewer than 15 steps
  bool euler_at_final = false;    // first order at the last step
  FinalSigmas final_sigmas_type = FinalSigmas::kZero;
  // Timesteps with a log(signal / noise) below this are not visited.
  double lambda_min_clipped = -std::numeric_limits<double>::infinity();
};

// Immutable and cheap to copy by the standards of a model. Thread-safe.
class NoiseSchedule {
 public:
  // INVALID_ARGUMENT names the key that is out of range.
  static absl::StatusOr<NoiseSchedule> Create(const NoiseScheduleConfig& config);

  // The same noise, visited in another spacing.
  NoiseSchedule With(Spacing spacing) const;

  const NoiseScheduleConfig& config() const { return config_; }
  int num_train_timesteps() const { return config_.num_train_timesteps; }

  // Share of signal variance at a training timestep, in (0, 1). `timestep` in [0,
  // num_train_timesteps). The doubles hold the float32 values that diffusers computes.
  double AlphaCumprod(int timestep) const;

  // Share of signal variance where DDIM ends.
  double FinalAlphaCumprod() const;

  // sqrt((1 - alpha_cumprod) / alpha_cumprod): noise per signal, interpolated linearly between
  // training timesteps. `timestep` in [0, num_train_timesteps - 1].
  double SigmaAt(double timestep) const;

  // The timestep at which the noise per signal is `sigma`, interpolated linearly in log(sigma)
  // between training timesteps and clamped to the schedule.
  double TimestepAt(double sigma) const;

 private:
  NoiseSchedule(const NoiseScheduleConfig& config, std::vector<double> alphas_cumprod);

  NoiseScheduleConfig config_;
  std::vector<double> alphas_cumprod_;  // by training timestep
};

}  // namespace ilf
