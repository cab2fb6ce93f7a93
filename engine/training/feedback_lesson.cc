#include "engine/training/feedback_lesson.h"

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <utility>

#include <ATen/CPUGeneratorImpl.h>
#include <torch/types.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/base/status_macros.h"
#include "engine/checkpoint/state_dict.h"
#include "engine/pipeline/scheduler_config.h"
#include "engine/training/initial_weights.h"
#include "engine/training/noise_seeds.h"
#include "engine/training/plan_references.h"

namespace ilf {
namespace {

// One file or shards.
absl::StatusOr<StateDict> BackboneWeights(const ModelDirectory& directory) {
  return StateDict::LoadFolder(directory.path + "/transformer", "diffusion_pytorch_model");
}

absl::Status CheckPlan(const FeedbackTrainingOptions& options, const FeedbackPlan& plan) {
  const auto wrong = [&](absl::string_view what) {
    return absl::InvalidArgumentError(absl::StrCat(options.plans, ": ", what));
  };
  const bool images = options.states == FeedbackStates::kImages;
  if (plan.feedback.empty() && (images || plan.coefficients.empty())) {
    return wrong(
        "a plan has nothing to learn: neither feedback_steps nor, on sampler states, coefficients");
  }
  if (images && plan.feedback_in_history) {
    return wrong("states of images have no step before them: feedback_in_history must be false");
  }
  return absl::OkStatus();
}

// References are solved by timestep, so the plan learns where its spacing's timesteps lie (whole
// ones with Karras and log-SNR spacing, as diffusers has them) and says so from then on.
absl::Status StateTimesteps(const FeedbackTrainingOptions& options, const NoiseSchedule& schedule,
                            CalibratedPlan& plan) {
  if (!plan.plan.timesteps.empty()) return absl::OkStatus();
  plan.plan.timesteps = plan.steps.Timesteps();
  absl::StatusOr<StepPlan> steps = MakeFeedbackStepPlan(schedule, plan.plan);
  if (!steps.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat(options.plans, ": the steps of its spacing start at the timesteps ",
                     absl::StrJoin(plan.plan.timesteps, ", "), ": ", steps.status().message()));
  }
  plan.steps = *std::move(steps);
  plan.spacing.reset();
  return absl::OkStatus();
}

absl::Status SolveReferences(const FeedbackTrainingOptions& options, const Backbone& backbone,
                             const std::atomic<bool>& stop, Lesson& lesson) {
  std::error_code error;
  std::filesystem::create_directories(FeedbackFolderOf(options), error);
  if (error) {
    return absl::InvalidArgumentError(
        absl::StrCat(FeedbackFolderOf(options), ": ", error.message()));
  }
  ILF_ASSIGN_OR_RETURN(const Subjects subjects, ReadSubjects(options.loop.output, options.prompts,
                                                             {.device = options.loop.device}));
  const auto solve = [&](const std::string& part, uint64_t first_seed, int64_t images) {
    const bool landing =
        options.states == FeedbackStates::kSampler && options.loss == SamplerLoss::kLanding;
    return SolvePlanReferences({&backbone.transformer}, backbone.schedule, lesson.plans,
                               {.images = images,
                                .first_seed = first_seed,
                                .min_steps = options.reference_steps,
                                .subjects = subjects,
                                .keep_starts = landing,
                                .file_prefix = absl::StrCat(FeedbackFolderOf(options), "/", part),
                                .key = backbone.sha256,
                                .device = options.loop.device},
                               stop);
  };
  if (options.states == FeedbackStates::kSampler) {
    const int64_t first = options.first_train_image;
    ILF_ASSIGN_OR_RETURN(
        lesson.training,
        solve(first == 0 ? "training" : absl::StrCat("training_noises_from_", first),
              kFirstFeedbackTrainingSeed + static_cast<uint64_t>(first), options.train_images));
  }
  ILF_ASSIGN_OR_RETURN(lesson.validation, solve("validation", kFirstFeedbackValidationSeed,
                                                options.validation_images));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<BackboneFacts> ReadBackboneFacts(const ModelDirectory& directory) {
  ILF_ASSIGN_OR_RETURN(const TransformerConfig config,
                       TransformerConfig::FromJson(directory.transformer));
  ILF_ASSIGN_OR_RETURN(const SchedulerConfig scheduler, ReadSchedulerConfig(directory.scheduler));
  ILF_ASSIGN_OR_RETURN(NoiseSchedule schedule, NoiseSchedule::Create(scheduler.schedule));
  ILF_ASSIGN_OR_RETURN(std::string sha256, BackboneSha256(directory));
  return BackboneFacts{config, std::move(schedule), std::move(sha256)};
}

absl::StatusOr<Backbone> LoadBackbone(const FeedbackTrainingOptions& options,
                                      const Execution& execution) {
  ILF_ASSIGN_OR_RETURN(const ModelDirectory directory, ReadModelDirectory(options.loop.output));
  ILF_ASSIGN_OR_RETURN(BackboneFacts facts, ReadBackboneFacts(directory));
  ILF_ASSIGN_OR_RETURN(StateDict weights, BackboneWeights(directory));
  ILF_ASSIGN_OR_RETURN(Transformer transformer,
                       Transformer::Load(facts.config, weights, execution));
  return Backbone{std::move(transformer), std::move(facts.schedule), std::move(facts.sha256)};
}

std::string FeedbackFolderOf(const FeedbackTrainingOptions& options) {
  return options.loop.output + "/training/feedback";
}

// The backbone that solves has packed weights, which differentiation cannot do with; it is gone
// before the one that is differentiated through is loaded.
absl::StatusOr<Lesson> PrepareLesson(const FeedbackTrainingOptions& options, at::ScalarType dtype,
                                     const std::atomic<bool>& stop) {
  ILF_ASSIGN_OR_RETURN(const Backbone backbone,
                       LoadBackbone(options, {.device = options.loop.device, .dtype = dtype}));
  ILF_ASSIGN_OR_RETURN(const JsonConfig json, JsonConfig::Load(options.plans));
  Lesson lesson;
  ILF_ASSIGN_OR_RETURN(lesson.config,
                       FeedbackConfig::FromJson(json, backbone.transformer.config()));
  ILF_ASSIGN_OR_RETURN(lesson.plans, ReadFeedbackPlans(json, backbone.schedule));
  for (CalibratedPlan& plan : lesson.plans) {
    ILF_RETURN_IF_ERROR(CheckPlan(options, plan.plan));
    ILF_RETURN_IF_ERROR(StateTimesteps(options, backbone.schedule, plan));
  }
  ILF_RETURN_IF_ERROR(SolveReferences(options, backbone, stop, lesson));
  return lesson;
}

absl::StatusOr<NamedTensors> InitialWeights(const FeedbackTrainingOptions& options,
                                            const FeedbackConfig& config,
                                            const TransformerConfig& backbone) {
  NamedTensors weights = InitialFeedback(
      config, backbone, at::make_generator<at::CPUGeneratorImpl>(options.loop.seed));
  if (!options.initial_model.empty()) {
    ILF_RETURN_IF_ERROR(
        TakeWeights(options.initial_model + "/feedback", "diffusion_pytorch_model", weights));
    weights["scales"] = weights["scales"].to(at::kFloat) / options.scale_gain;
    return weights;
  }
  if (options.initial == InitialBlock::kIdentity) return weights;
  ILF_ASSIGN_OR_RETURN(const ModelDirectory directory, ReadModelDirectory(options.loop.output));
  ILF_ASSIGN_OR_RETURN(StateDict stored, BackboneWeights(directory));
  const std::string from = absl::StrCat("transformer_blocks.", config.inner.end - 1, ".");
  for (auto& [name, tensor] : weights) {
    if (name == "scales") continue;
    ILF_ASSIGN_OR_RETURN(const at::Tensor copied,
                         stored.Take(from + name.substr(strlen("block.")), tensor.sizes().vec()));
    tensor = copied.to(at::kFloat);
  }
  return weights;
}

}  // namespace ilf
