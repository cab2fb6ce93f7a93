#include "engine/training/feedback_writer.h"

#include <filesystem>

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "engine/checkpoint/model_directory.h"
#include "engine/training/model_files.h"

namespace ilf {
namespace {

using Json = nlohmann::ordered_json;

std::string NameOf(FeedbackTimestep timestep) {
  return timestep == FeedbackTimestep::kSource ? "source" : "target";
}

Json ToJson(const CalibratedPlan& calibrated) {
  const FeedbackPlan& plan = calibrated.plan;
  Json json = {{"steps", plan.steps}, {"solver", std::string(SolverKindName(plan.solver))}};
  if (!plan.timesteps.empty()) json["timesteps"] = plan.timesteps;
  if (calibrated.spacing) json["spacing"] = std::string(SpacingName(*calibrated.spacing));
  if (!plan.coefficients.empty()) {
    for (const UpdateCoefficients& c : plan.coefficients) {
      json["coefficients"].push_back({c.a, c.b, c.c});
    }
  }
  json["feedback_steps"] = Json::array();
  json["target_timesteps"] = Json::array();
  for (const FeedbackStep& feedback : plan.feedback) {
    json["feedback_steps"].push_back(feedback.step);
    json["target_timesteps"].push_back(feedback.target_timestep);
  }
  json["feedback_in_history"] = plan.feedback_in_history;
  json["equivalent_steps"] = calibrated.equivalent_steps;
  json["guidance_scales"] = {calibrated.min_guidance_scale, calibrated.max_guidance_scale};
  return json;
}

Json ToJson(const FeedbackConfig& config, const std::vector<CalibratedPlan>& plans) {
  Json json = {{"first_inner_block", config.inner.begin},
               {"inner_blocks", config.inner.end - config.inner.begin},
               {"extra_loops", config.extra_loops},
               {"feedback_timestep", NameOf(config.feedback_timestep)},
               {"inner_timestep", NameOf(config.inner_timestep)},
               {"deep_timestep", NameOf(config.deep_timestep)},
               {"plans", Json::array()}};
  for (const CalibratedPlan& plan : plans) json["plans"].push_back(ToJson(plan));
  return json;
}

}  // namespace

absl::Status WriteFeedback(const std::string& model, const std::string& backbone_sha256,
                           const FeedbackConfig& config, const std::vector<CalibratedPlan>& plans,
                           const NamedTensors& weights, at::ScalarType dtype) {
  ModelDirectory directory;
  directory.path = model;
  Json json = ToJson(config, plans);
  json["backbone_sha256"] = backbone_sha256;
  const std::string folder =
      std::filesystem::path(directory.FeedbackConfigFile()).parent_path().string();
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) return absl::UnavailableError(absl::StrCat(folder, ": ", error.message()));
  ILF_RETURN_IF_ERROR(WriteWeights(folder, weights, dtype));
  return WriteJson(folder, "config.json", json);
}

std::string FeedbackConfigText(const FeedbackConfig& config,
                               const std::vector<CalibratedPlan>& plans) {
  return ToJson(config, plans).dump();
}

absl::Status WriteFeedbackPlans(const std::string& file, const FeedbackConfig& config,
                                const std::vector<CalibratedPlan>& plans) {
  const std::filesystem::path path = std::filesystem::absolute(file);
  return WriteJson(path.parent_path().string(), path.filename().string(), ToJson(config, plans));
}

}  // namespace ilf
