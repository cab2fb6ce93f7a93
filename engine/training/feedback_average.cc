#include "engine/training/feedback_average.h"

#include <algorithm>
#include <utility>

#include <ATen/CPUGeneratorImpl.h>
#include <torch/types.h>

#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "engine/checkpoint/json_config.h"
#include "engine/checkpoint/model_directory.h"
#include "engine/pipeline/feedback.h"
#include "engine/training/feedback_lesson.h"
#include "engine/training/feedback_writer.h"
#include "engine/training/initial_weights.h"

namespace ilf {
namespace {

struct Part {
  FeedbackConfig config;
  std::vector<CalibratedPlan> plans;
  NamedTensors weights;  // float32
};

absl::StatusOr<Part> ReadPart(const std::string& module, const BackboneFacts& backbone) {
  ModelDirectory directory;
  directory.path = module;
  ILF_ASSIGN_OR_RETURN(const JsonConfig json, JsonConfig::Load(directory.FeedbackConfigFile()));
  ILF_ASSIGN_OR_RETURN(const std::string sha256, json.GetString("backbone_sha256"));
  if (sha256 != backbone.sha256) {
    return absl::InvalidArgumentError(
        absl::StrCat(json.origin(), ": trained for a backbone with backbone_sha256 ", sha256,
                     ", that of the model is ", backbone.sha256));
  }
  Part part;
  ILF_ASSIGN_OR_RETURN(part.config, FeedbackConfig::FromJson(json, backbone.config));
  ILF_ASSIGN_OR_RETURN(part.plans, ReadFeedbackPlans(json, backbone.schedule));
  part.weights = InitialFeedback(part.config, backbone.config,
                                 at::make_generator<at::CPUGeneratorImpl>(uint64_t{0}));
  ILF_RETURN_IF_ERROR(TakeWeights(module + "/feedback", "diffusion_pytorch_model", part.weights));
  for (auto& [name, tensor] : part.weights) tensor = tensor.to(at::kFloat);
  return part;
}

// What two plans must share for the mean of their coefficients to mean something.
std::string Skeleton(const FeedbackConfig& config, CalibratedPlan plan) {
  for (UpdateCoefficients& row : plan.plan.coefficients) row = {};
  plan.equivalent_steps = 0;
  plan.min_guidance_scale = plan.max_guidance_scale = 1.0;
  return FeedbackConfigText(config, {std::move(plan)});
}

// `plan` with the mean of the coefficients over the parts that have it.
CalibratedPlan MeanPlan(const CalibratedPlan& plan, const std::vector<Part>& parts) {
  const std::string skeleton = Skeleton(parts[0].config, plan);
  std::vector<UpdateCoefficients> sum(plan.plan.coefficients.size());
  double count = 0.0;
  for (const Part& part : parts) {
    for (const CalibratedPlan& other : part.plans) {
      if (Skeleton(part.config, other) != skeleton) continue;
      for (size_t i = 0; i < sum.size(); ++i) {
        sum[i].a += other.plan.coefficients[i].a;
        sum[i].b += other.plan.coefficients[i].b;
        sum[i].c += other.plan.coefficients[i].c;
      }
      ++count;
      break;
    }
  }
  CalibratedPlan mean = plan;
  for (size_t i = 0; i < sum.size(); ++i) {
    mean.plan.coefficients[i] = {sum[i].a / count, sum[i].b / count, sum[i].c / count};
  }
  return mean;
}

NamedTensors MeanWeights(const std::vector<Part>& parts) {
  NamedTensors mean = parts[0].weights;
  for (auto& [name, tensor] : mean) {
    for (size_t i = 1; i < parts.size(); ++i) tensor = tensor + parts[i].weights.at(name);
    tensor = tensor / static_cast<double>(parts.size());
  }
  return mean;
}

}  // namespace

absl::Status AverageFeedback(const std::vector<std::string>& modules, const std::string& model,
                             at::ScalarType dtype) {
  if (modules.empty()) return absl::InvalidArgumentError("there is no module to average");
  ILF_ASSIGN_OR_RETURN(const ModelDirectory directory, ReadModelDirectory(model));
  ILF_ASSIGN_OR_RETURN(const BackboneFacts backbone, ReadBackboneFacts(directory));
  std::vector<Part> parts;
  for (const std::string& module : modules) {
    ILF_ASSIGN_OR_RETURN(parts.emplace_back(), ReadPart(module, backbone));
    if (FeedbackConfigText(parts.back().config, {}) != FeedbackConfigText(parts[0].config, {})) {
      return absl::InvalidArgumentError(
          absl::StrCat(module, ": its module has other settings than that of ", modules[0]));
    }
  }
  std::vector<CalibratedPlan> plans;
  for (const CalibratedPlan& plan : parts[0].plans) plans.push_back(MeanPlan(plan, parts));
  return WriteFeedback(model, backbone.sha256, parts[0].config, plans, MeanWeights(parts), dtype);
}

}  // namespace ilf
