// Every trajectory in tests/fixtures/sampling.safetensors and sampling_euler.safetensors, which
// diffusers' schedulers made, followed with our plans and our update.
#include <ATen/TensorOperators.h>
#include <ATen/ops/zeros_like.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "engine/checkpoint/json_config.h"
#include "engine/checkpoint/safetensors.h"
#include "engine/checkpoint/state_dict.h"
#include "engine/sampling/solver.h"
#include "engine/sampling/update.h"

namespace ilf {
namespace {

// Relative to the largest x0 of a trajectory. The first step multiplies float32's rounding of x by
// 1 / sqrt(alpha_cumprod): 157 on the default schedule.
constexpr double kBound = 3e-5;

SolverKind SolverOf(const std::string& name) {
  if (name.starts_with("ddim")) return SolverKind::kDdim;
  return name.starts_with("euler") ? SolverKind::kEuler : SolverKind::kDpmSolverPp2m;
}

template <typename T>
T Choice(const JsonConfig& json, const char* key, const std::map<std::string, T>& choices,
         T fallback) {
  if (!json.Has(key)) return fallback;
  return choices.at(*json.GetString(key));
}

NoiseScheduleConfig ConfigFrom(const JsonConfig& json, SolverKind solver) {
  NoiseScheduleConfig config = DefaultConfigOf(solver);
  config.num_train_timesteps = *json.GetInt("num_train_timesteps");
  config.beta_start = *json.GetDouble("beta_start");
  config.beta_end = *json.GetDouble("beta_end");
  config.beta_schedule =
      Choice<BetaSchedule>(json, "beta_schedule",
                           {{"linear", BetaSchedule::kLinear},
                            {"scaled_linear", BetaSchedule::kScaledLinear},
                            {"squaredcos_cap_v2", BetaSchedule::kSquaredCosCapV2}},
                           config.beta_schedule);
  config.timestep_spacing = Choice<TimestepSpacing>(json, "timestep_spacing",
                                                    {{"leading", TimestepSpacing::kLeading},
                                                     {"trailing", TimestepSpacing::kTrailing},
                                                     {"linspace", TimestepSpacing::kLinspace}},
                                                    config.timestep_spacing);
  config.steps_offset = *json.GetInt("steps_offset");
  config.clip_sample = *json.GetBool("clip_sample", config.clip_sample);
  config.clip_sample_range = *json.GetDouble("clip_sample_range", config.clip_sample_range);
  config.set_alpha_to_one = *json.GetBool("set_alpha_to_one", config.set_alpha_to_one);
  config.solver_order = *json.GetInt("solver_order", config.solver_order);
  config.solver_type = Choice<SolverType>(
      json, "solver_type", {{"midpoint", SolverType::kMidpoint}, {"heun", SolverType::kHeun}},
      config.solver_type);
  if (*json.GetBool("use_karras_sigmas", false)) config.level_spacing = LevelSpacing::kKarras;
  if (*json.GetBool("use_lu_lambdas", false)) config.level_spacing = LevelSpacing::kLogSnr;
  config.lower_order_final = *json.GetBool("lower_order_final", config.lower_order_final);
  config.euler_at_final = *json.GetBool("euler_at_final", config.euler_at_final);
  config.final_sigmas_type =
      Choice<FinalSigmas>(json, "final_sigmas_type",
                          {{"zero", FinalSigmas::kZero}, {"sigma_min", FinalSigmas::kSigmaMin}},
                          config.final_sigmas_type);
  config.lambda_min_clipped = *json.GetDouble("lambda_min_clipped", config.lambda_min_clipped);
  return config;
}

// The fixtures' analytic model (tests/fixtures/README.md).
at::Tensor ToyModel(const at::Tensor& x, double timestep) {
  const float u = static_cast<float>(timestep) / 1000.0f;
  return x.mul(u) + (x / (x.square() + 1) * 0.5 + 0.3).mul(u * (1.0f - u));
}

double Distance(const at::Tensor& a, const at::Tensor& b) {
  return (a - b).abs().max().item<double>();
}

struct Trajectory {
  std::string name;  // of the case
  int steps = 0;
};

std::vector<Trajectory> Trajectories(const SafetensorsFile& file) {
  std::vector<Trajectory> found;
  for (const auto& [tensor, entry] : file.tensors()) {
    const std::vector<std::string> parts = absl::StrSplit(tensor, '/');
    if (parts.back() == "timesteps") found.push_back({parts[0], std::stoi(parts[1])});
  }
  return found;
}

class DiffusersParityTest : public testing::Test {
 protected:
  void Load(const std::string& name) {
    const std::string path = ILF_SOURCE_DIR "/tests/fixtures/" + name;
    auto file = SafetensorsFile::Open(path);
    ASSERT_TRUE(file.ok()) << file.status();
    file_ = *file;
    auto tensors = StateDict::Load(path);
    ASSERT_TRUE(tensors.ok()) << tensors.status();
    tensors_ = std::make_unique<StateDict>(*std::move(tensors));
  }

  at::Tensor Tensor(const std::string& name) {
    return *tensors_->Take(name, *tensors_->Shape(name));
  }

  void Follow(const Trajectory& trajectory) {
    SCOPED_TRACE(absl::StrCat(trajectory.name, " in ", trajectory.steps, " steps"));
    const SolverKind solver = SolverOf(trajectory.name);
    const auto json = JsonConfig::FromText(file_->metadata().at(trajectory.name), trajectory.name);
    ASSERT_TRUE(json.ok()) << json.status();
    const auto schedule = NoiseSchedule::Create(ConfigFrom(*json, solver));
    ASSERT_TRUE(schedule.ok()) << schedule.status();
    const auto plan = MakeStepPlan(*schedule, solver, trajectory.steps);
    ASSERT_TRUE(plan.ok()) << plan.status();
    const std::string prefix = absl::StrCat(trajectory.name, "/", trajectory.steps);
    if (solver == SolverKind::kEuler) CompareNoise(*plan, prefix);
    Compare(*plan, prefix);
  }

  // The sigmas that Euler's coefficients come from, and the scale of its first latent.
  void CompareNoise(const StepPlan& plan, const std::string& prefix) {
    const at::Tensor sigmas = Tensor(prefix + "/sigmas");
    ASSERT_EQ(static_cast<int64_t>(plan.steps.size()) + 1, sigmas.numel());
    for (size_t i = 0; i < plan.steps.size(); ++i) {
      const double sigma = sigmas[i].item<float>();
      const double next = sigmas[i + 1].item<float>();
      EXPECT_NEAR(plan.steps[i].c_in * std::hypot(sigma, 1.0), 1.0, 1e-6) << "step " << i;
      EXPECT_NEAR(plan.steps[i].a * sigma, next, 1e-6 * sigma) << "step " << i;
    }
    const double scale = Tensor(prefix + "/init_noise_sigma").item<float>();
    EXPECT_NEAR(plan.initial_noise_scale, scale, 1e-6 * scale);
  }

  void Compare(const StepPlan& plan, const std::string& prefix) {
    const at::Tensor timesteps = Tensor(prefix + "/timesteps");
    const at::Tensor expected_x = Tensor(prefix + "/x");
    const at::Tensor expected_x0 = Tensor(prefix + "/x0");
    ASSERT_EQ(static_cast<int64_t>(plan.steps.size()), timesteps.numel());
    const double bound = kBound * std::max(1.0, expected_x0.abs().max().item<double>());

    at::Tensor x = expected_x[0].unsqueeze(0);  // [1, 2, 2, 4]
    at::Tensor x0 = at::zeros_like(x);
    for (size_t i = 0; i < plan.steps.size(); ++i) {
      const PlannedStep& step = plan.steps[i];
      EXPECT_FLOAT_EQ(static_cast<float>(step.timestep), timesteps[i].item<float>());
      const at::Tensor output = ToyModel(x * step.c_in, step.timestep);
      UpdateResult result = ApplyUpdate(x, output, x0, StepCoefficients({step}));
      EXPECT_LT(Distance(result.x[0], expected_x[i + 1]), bound) << "x after step " << i;
      EXPECT_LT(Distance(result.x0[0], expected_x0[i]), bound) << "x0 of step " << i;
      x = result.x;
      x0 = result.x0;
    }
  }

  std::shared_ptr<const SafetensorsFile> file_;
  std::unique_ptr<StateDict> tensors_;
};

TEST_F(DiffusersParityTest, EveryTrajectoryIsFollowed) {
  Load("sampling.safetensors");
  const std::vector<Trajectory> trajectories = Trajectories(*file_);
  ASSERT_GE(trajectories.size(), 60u);
  for (const Trajectory& trajectory : trajectories) Follow(trajectory);
}

TEST_F(DiffusersParityTest, EveryTrajectoryOfEulerIsFollowed) {
  Load("sampling_euler.safetensors");
  const std::vector<Trajectory> trajectories = Trajectories(*file_);
  ASSERT_EQ(trajectories.size(), 24u);
  for (const Trajectory& trajectory : trajectories) Follow(trajectory);
}

}  // namespace
}  // namespace ilf
