#include "engine/pipeline/feedback.h"

#include <algorithm>
#include <filesystem>
#include <limits>
#include <map>
#include <optional>
#include <utility>

#include <ATen/ops/zeros_like.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/base/status_macros.h"
#include "engine/checkpoint/state_dict.h"
#include "engine/sampling/level_spacing.h"

namespace ilf {
namespace {

constexpr absl::string_view kKeys[] = {
    "first_inner_block", "inner_blocks",  "extra_loops", "feedback_timestep",
    "inner_timestep",    "deep_timestep", "plans",       "backbone_sha256"};
constexpr absl::string_view kPlanKeys[] = {"steps",
                                           "solver",
                                           "timesteps",
                                           "spacing",
                                           "coefficients",
                                           "feedback_steps",
                                           "target_timesteps",
                                           "feedback_in_history",
                                           "equivalent_steps",
                                           "guidance_scales"};

absl::Status Wrong(const JsonConfig& json, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(json.origin(), ": ", what));
}

absl::StatusOr<SolverKind> ReadSolver(const JsonConfig& json) {
  ILF_ASSIGN_OR_RETURN(const std::string name, json.GetString("solver"));
  for (const SolverKind solver : {SolverKind::kDdim, SolverKind::kDpmSolverPp2m}) {
    if (name == SolverKindName(solver)) return solver;
  }
  return Wrong(json, absl::StrCat("solver must be ddim or dpmsolver++, is '", name, "'"));
}

absl::StatusOr<std::optional<Spacing>> ReadSpacing(const JsonConfig& json, SolverKind solver) {
  ILF_ASSIGN_OR_RETURN(const std::string name, json.GetString("spacing", ""));
  if (name.empty()) return std::nullopt;
  if (json.Has("timesteps")) {
    return Wrong(json, "timesteps and spacing both say where the steps start: leave one out");
  }
  const std::optional<Spacing> spacing = SpacingNamed(name);
  if (!spacing) return Wrong(json, absl::StrCat("spacing '", name, "' is not known"));
  const bool by_level = *spacing == Spacing::kKarras || *spacing == Spacing::kLogSnr;
  if (by_level && solver == SolverKind::kDdim) {
    return Wrong(json, absl::StrCat("ddim has no spacing ", name, ": it goes by timestep"));
  }
  return spacing;
}

// Whether the file says what they aim at.
absl::StatusOr<bool> ReadFeedbackSteps(const JsonConfig& json, FeedbackPlan& plan) {
  ILF_ASSIGN_OR_RETURN(const std::vector<int64_t> steps, json.GetIntList("feedback_steps"));
  ILF_ASSIGN_OR_RETURN(const std::vector<double> targets,
                       json.GetDoubleList("target_timesteps", std::vector<double>()));
  if (!targets.empty() && targets.size() != steps.size()) {
    return Wrong(json, absl::StrCat("target_timesteps must be as many as feedback_steps, ",
                                    steps.size(), ", are ", targets.size(),
                                    "; without them each aims at where the next step starts"));
  }
  for (size_t i = 0; i < steps.size(); ++i) {
    if (steps[i] < 0 || steps[i] >= plan.steps) {
      return Wrong(json, absl::StrCat("feedback_steps must be 0 to ", plan.steps - 1, ", one is ",
                                      steps[i]));
    }
    plan.feedback.push_back({static_cast<int>(steps[i]), targets.empty() ? 0.0 : targets[i]});
  }
  return !targets.empty();
}

absl::Status ReadCoefficients(const JsonConfig& json, FeedbackPlan& plan) {
  ILF_ASSIGN_OR_RETURN(const std::vector<std::vector<double>> rows,
                       json.GetDoubleTable("coefficients", std::vector<std::vector<double>>()));
  for (const std::vector<double>& row : rows) {
    if (row.size() != 3) return Wrong(json, "coefficients must be a list of [a, b, c]");
    plan.coefficients.push_back({row[0], row[1], row[2]});
  }
  return absl::OkStatus();
}

absl::Status ReadGuidanceScales(const JsonConfig& json, CalibratedPlan& plan) {
  ILF_ASSIGN_OR_RETURN(const std::vector<double> scales,
                       json.GetDoubleList("guidance_scales", std::vector<double>{1.0, 1.0}));
  if (scales.size() != 2 || !(scales[0] >= 1.0) || !(scales[1] >= scales[0])) {
    return Wrong(json,
                 absl::StrCat("guidance_scales must be [least, most] with 1 <= least <= most, "
                              "is [",
                              absl::StrJoin(scales, ", "), "]"));
  }
  plan.min_guidance_scale = scales[0];
  plan.max_guidance_scale = scales[1];
  return absl::OkStatus();
}

absl::StatusOr<CalibratedPlan> ReadPlan(const JsonConfig& json, const NoiseSchedule& schedule) {
  ILF_RETURN_IF_ERROR(json.CheckKeys(kPlanKeys));
  CalibratedPlan result;
  FeedbackPlan& plan = result.plan;
  ILF_ASSIGN_OR_RETURN(const int64_t steps, json.GetInt("steps"));
  if (steps < 1 || steps > schedule.num_train_timesteps()) {
    return Wrong(
        json, absl::StrCat("steps must be 1 to ", schedule.num_train_timesteps(), ", is ", steps));
  }
  plan.steps = static_cast<int>(steps);
  ILF_ASSIGN_OR_RETURN(plan.solver, ReadSolver(json));
  ILF_ASSIGN_OR_RETURN(plan.timesteps, json.GetDoubleList("timesteps", std::vector<double>()));
  ILF_ASSIGN_OR_RETURN(plan.feedback_in_history, json.GetBool("feedback_in_history", true));
  ILF_RETURN_IF_ERROR(ReadCoefficients(json, plan));
  ILF_ASSIGN_OR_RETURN(const bool aimed, ReadFeedbackSteps(json, plan));
  ILF_RETURN_IF_ERROR(ReadGuidanceScales(json, result));
  ILF_ASSIGN_OR_RETURN(const int64_t equivalent, json.GetInt("equivalent_steps"));
  if (equivalent < 1 || equivalent > schedule.num_train_timesteps()) {
    return Wrong(json, absl::StrCat("equivalent_steps must be 1 to ",
                                    schedule.num_train_timesteps(), ", is ", equivalent));
  }
  result.equivalent_steps = static_cast<int>(equivalent);

  ILF_ASSIGN_OR_RETURN(result.spacing, ReadSpacing(json, plan.solver));
  const NoiseSchedule spaced = result.spacing ? schedule.With(*result.spacing) : schedule;
  absl::StatusOr<StepPlan> made = MakeFeedbackStepPlan(spaced, plan);
  if (made.ok() && !aimed) {
    AimAtNextStep(made->Timesteps(), plan);
    made = MakeFeedbackStepPlan(spaced, plan);
  }
  if (!made.ok()) return Wrong(json, made.status().message());
  result.steps = *std::move(made);
  return result;
}

absl::Status CheckBackbone(const JsonConfig& json, const ModelDirectory& directory) {
  ILF_ASSIGN_OR_RETURN(const std::string expected, json.GetString("backbone_sha256"));
  ILF_ASSIGN_OR_RETURN(const std::string found, BackboneSha256(directory));
  if (expected == found) return absl::OkStatus();
  return Wrong(json,
               absl::StrCat("the module was trained for a backbone with backbone_sha256 ", expected,
                            ", but ", directory.path, "/transformer has ", found,
                            ": train a module for it (ilf-train feedback), or remove the folder"));
}

}  // namespace

const CalibratedPlan* FindPlan(const std::vector<CalibratedPlan>& plans, int steps,
                               SolverKind solver, double guidance_scale) {
  const CalibratedPlan* found = nullptr;
  double least = std::numeric_limits<double>::infinity();
  for (const CalibratedPlan& plan : plans) {
    const double distance = std::max(
        {plan.min_guidance_scale - guidance_scale, guidance_scale - plan.max_guidance_scale, 0.0});
    if (plan.plan.steps != steps || plan.plan.solver != solver || distance >= least) continue;
    found = &plan;
    least = distance;
  }
  return found;
}

bool HasFeedback(const ModelDirectory& directory) {
  std::error_code error;
  const std::filesystem::path file = directory.FeedbackConfigFile();
  return std::filesystem::exists(file.parent_path(), error) || error;
}

absl::StatusOr<std::vector<CalibratedPlan>> ReadFeedbackPlans(const JsonConfig& json,
                                                              const NoiseSchedule& schedule) {
  ILF_RETURN_IF_ERROR(json.CheckKeys(kKeys));
  ILF_ASSIGN_OR_RETURN(const std::vector<JsonConfig> entries, json.GetObjectList("plans"));
  if (entries.empty()) return Wrong(json, "plans must not be empty");
  std::vector<CalibratedPlan> plans;
  for (const JsonConfig& entry : entries) {
    ILF_ASSIGN_OR_RETURN(CalibratedPlan plan, ReadPlan(entry, schedule));
    for (const CalibratedPlan& other : plans) {
      if (other.plan.steps == plan.plan.steps && other.plan.solver == plan.plan.solver &&
          other.min_guidance_scale <= plan.max_guidance_scale &&
          plan.min_guidance_scale <= other.max_guidance_scale) {
        return Wrong(entry, "a plan before it has the same steps, solver and guidance scales");
      }
    }
    plans.push_back(std::move(plan));
  }
  return plans;
}

absl::StatusOr<Feedback> LoadFeedback(const ModelDirectory& directory,
                                      const TransformerConfig& backbone,
                                      const NoiseSchedule& schedule, const Execution& execution) {
  ILF_ASSIGN_OR_RETURN(const JsonConfig json, JsonConfig::Load(directory.FeedbackConfigFile()));
  ILF_RETURN_IF_ERROR(CheckBackbone(json, directory));
  ILF_ASSIGN_OR_RETURN(const FeedbackConfig config, FeedbackConfig::FromJson(json, backbone));
  ILF_ASSIGN_OR_RETURN(std::vector<CalibratedPlan> plans, ReadFeedbackPlans(json, schedule));
  for (const CalibratedPlan& plan : plans) {
    if (plan.plan.feedback.empty())
      return Wrong(json, "feedback_steps of a served plan must not be empty");
  }
  ILF_ASSIGN_OR_RETURN(StateDict weights, StateDict::Load(directory.FeedbackWeights()));
  ILF_ASSIGN_OR_RETURN(FeedbackModule module,
                       FeedbackModule::Load(config, backbone, weights, execution));
  return Feedback{std::move(module), std::move(plans)};
}

absl::StatusOr<std::optional<FeedbackModule>> LoadSilentFeedback(const std::string& path,
                                                                 const Execution& execution) {
  ILF_ASSIGN_OR_RETURN(const ModelDirectory directory, ReadModelDirectory(path));
  if (!HasFeedback(directory)) return std::nullopt;
  ILF_ASSIGN_OR_RETURN(const TransformerConfig backbone,
                       TransformerConfig::FromJson(directory.transformer));
  ILF_ASSIGN_OR_RETURN(const JsonConfig json, JsonConfig::Load(directory.FeedbackConfigFile()));
  ILF_ASSIGN_OR_RETURN(const FeedbackConfig config, FeedbackConfig::FromJson(json, backbone));
  ILF_ASSIGN_OR_RETURN(StateDict stored, StateDict::Load(directory.FeedbackWeights()));
  std::map<std::string, at::Tensor> tensors;
  for (const std::string& name : stored.Names()) {
    ILF_ASSIGN_OR_RETURN(const std::vector<int64_t> shape, stored.Shape(name));
    ILF_ASSIGN_OR_RETURN(tensors[name], stored.Take(name, shape));
  }
  if (tensors.contains("scales")) tensors["scales"] = at::zeros_like(tensors["scales"]);
  StateDict weights(std::move(tensors), directory.FeedbackWeights());
  ILF_ASSIGN_OR_RETURN(FeedbackModule module,
                       FeedbackModule::Load(config, backbone, weights, execution));
  return module;
}

}  // namespace ilf
