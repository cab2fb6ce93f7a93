#include "tools/plan_command.h"

#include <filesystem>
#include <utility>

#include <ATen/Parallel.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "engine/base/status_macros.h"
#include "engine/checkpoint/model_directory.h"
#include "engine/pipeline/diffusion_model.h"
#include "engine/pipeline/load_models.h"
#include "engine/training/feedback_writer.h"
#include "engine/training/noise_seeds.h"
#include "engine/training/plan_search.h"
#include "engine/training/reference.h"

namespace ilf {
namespace {

absl::StatusOr<FeedbackConfig> InnerLoop(const PlanCommand& command, const Denoiser& denoiser) {
  if (denoiser.feedback != nullptr) return denoiser.feedback->config();
  const int64_t layers = denoiser.transformer->config().num_layers;
  FeedbackConfig config;
  config.inner.begin =
      command.first_inner_block >= 0 ? command.first_inner_block : layers - command.inner_blocks;
  config.inner.end = config.inner.begin + command.inner_blocks;
  if (command.inner_blocks >= 1 && config.inner.begin >= 0 && config.inner.end <= layers)
    return config;
  return absl::InvalidArgumentError(absl::StrCat(
      "--first_inner_block and --inner_blocks must lie within the model's ", layers, " blocks"));
}

absl::Status CheckSteps(const PlanCommand& command) {
  for (const int steps : command.steps) {
    if (steps < 1 || steps > command.levels) {
      return absl::InvalidArgumentError(
          absl::StrCat("--steps must be 1 to --levels, ", command.levels, ", one is ", steps));
    }
    for (const int step : command.feedback_steps) {
      if (step >= 0 && step < steps) continue;
      return absl::InvalidArgumentError(absl::StrCat("--feedback_steps must be 0 to ", steps - 1,
                                                     " in a plan of ", steps, " steps, one is ",
                                                     step));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckGuidance(const std::vector<double>& scales) {
  if (scales.front() >= 1.0 && scales.front() <= scales.back()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("--guidance must be one scale, or the least and the most, of at least 1, is ",
                   absl::StrJoin(scales, ",")));
}

// What the search runs: plain steps, or the model's module too.
absl::StatusOr<Denoiser> DenoiserOf(const PlanCommand& command, const DiffusionModel& model) {
  if (!command.with_feedback) return Denoiser{&model.transformer()};
  if (model.denoiser().feedback == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("--with_feedback: ", command.model, " has no feedback module"));
  }
  return model.denoiser();
}

std::vector<FeedbackStep> FeedbackSteps(const PlanCommand& command, int steps) {
  std::vector<FeedbackStep> feedback;
  for (int step = 0; command.feedback_steps.empty() && step < steps; ++step) {
    feedback.push_back({step});
  }
  for (const int step : command.feedback_steps) feedback.push_back({step});
  return feedback;
}

// The plan that was found, with its feedback steps marked.
absl::StatusOr<CalibratedPlan> Calibrated(const PlanCommand& command, const NoiseSchedule& schedule,
                                          FeedbackPlan plan) {
  plan.feedback = FeedbackSteps(command, plan.steps);
  AimAtNextStep(plan.timesteps, plan);
  CalibratedPlan calibrated;
  ILF_ASSIGN_OR_RETURN(calibrated.steps, MakeFeedbackStepPlan(schedule, plan));
  calibrated.equivalent_steps = plan.steps;
  calibrated.plan = std::move(plan);
  calibrated.min_guidance_scale = command.guidance_scales.front();
  calibrated.max_guidance_scale = command.guidance_scales.back();
  return calibrated;
}

}  // namespace

void AddPlanFlags(CLI::App& app, PlanCommand& command) {
  app.add_option("--model", command.model, "Model directory")->required();
  app.add_option("--out", command.out, "JSON file to write, for `ilf-train feedback --plans`")
      ->required();
  app.add_option("--prompts", command.prompts,
                 "Text file, one prompt a line, for a model that reads text")
      ->check(CLI::ExistingFile);
  app.add_option("--steps", command.steps, "Steps of each plan")
      ->delimiter(',')
      ->capture_default_str();
  app.add_option("--guidance", command.guidance_scales,
                 "Guidance scale, or the least and the most, to search under")
      ->delimiter(',')
      ->expected(1, 2)
      ->capture_default_str();
  app.add_option("--feedback_steps", command.feedback_steps,
                 "Steps (from 0) that are to run feedback (default: all)")
      ->delimiter(',');
  CLI::Option* first = app.add_option(
      "--first_inner_block", command.first_inner_block,
      "First block (from 0) of the inner loop (default: so that the loop is the last blocks)");
  CLI::Option* blocks =
      app.add_option("--inner_blocks", command.inner_blocks, "Blocks of the inner loop")
          ->capture_default_str();
  app.add_flag("--with_feedback", command.with_feedback,
               "Search with the model's feedback module at work in --feedback_steps, for training "
               "it on (default: with plain steps, for training a new one)")
      ->excludes(first)
      ->excludes(blocks);
  app.add_option("--images", command.images, "Noises to search with")
      ->check(CLI::Range(1, 1000000))
      ->capture_default_str();
  app.add_option("--levels", command.levels, "Noise levels to choose from, even in log SNR")
      ->check(CLI::Range(2, 1000))
      ->capture_default_str();
  app.add_option("--device", command.device, "cpu or cuda:N")->capture_default_str();
  app.add_option("--dtype", command.dtype, "auto, float32 or bfloat16")->capture_default_str();
  app.add_option("--threads", command.threads, "CPU math threads (0: all cores)")
      ->capture_default_str();
}

absl::Status RunPlanCommand(const PlanCommand& command, const std::atomic<bool>& stop) {
  ILF_RETURN_IF_ERROR(CheckSteps(command));
  ILF_RETURN_IF_ERROR(CheckGuidance(command.guidance_scales));
  if (command.threads > 0) at::set_num_threads(command.threads);
  ILF_ASSIGN_OR_RETURN(const c10::Device device, ParseDevice(command.device));
  ILF_ASSIGN_OR_RETURN(const Execution execution,
                       ChooseExecution(device, command.dtype, /*batch_invariant=*/true));
  ILF_ASSIGN_OR_RETURN(const std::shared_ptr<const DiffusionModel> model,
                       DiffusionModel::Load(command.model, "model", {execution}));
  const NoiseSchedule& schedule = model->schedule();
  ILF_ASSIGN_OR_RETURN(const Denoiser denoiser, DenoiserOf(command, *model));
  ILF_ASSIGN_OR_RETURN(const FeedbackConfig config, InnerLoop(command, denoiser));
  ILF_ASSIGN_OR_RETURN(const ModelDirectory directory, ReadModelDirectory(command.model));
  ILF_ASSIGN_OR_RETURN(const std::string key, BackboneSha256(directory));

  ILF_ASSIGN_OR_RETURN(Subjects subjects, ReadSubjects(command.model, command.prompts, execution));
  const std::string cache = absl::StrFormat("%s.reference.safetensors", command.out);
  ILF_ASSIGN_OR_RETURN(const Reference reference,
                       SolveReference(denoiser, schedule, DenseTimesteps(schedule, command.levels),
                                      {.images = command.images,
                                       .first_seed = kFirstPlanSearchSeed,
                                       .guidance_scales = command.guidance_scales,
                                       .subjects = std::move(subjects),
                                       .min_steps = command.levels - 1,
                                       .device = device},
                                      cache, key, stop));
  std::vector<CalibratedPlan> plans;
  for (const int steps : command.steps) {
    FeedbackPlan plan = {.steps = steps};
    if (command.with_feedback) plan.feedback = FeedbackSteps(command, plan.steps);
    ILF_ASSIGN_OR_RETURN(FittedPlan fitted, SearchTimesteps(denoiser, schedule, plan, reference,
                                                            {.run = {.device = device}}, stop));
    absl::PrintF("%d steps: RMSE %.5f at timesteps %s\n", steps, fitted.rmse,
                 absl::StrJoin(fitted.plan.timesteps, ", "));
    ILF_ASSIGN_OR_RETURN(plans.emplace_back(),
                         Calibrated(command, schedule, std::move(fitted.plan)));
    ILF_RETURN_IF_ERROR(WriteFeedbackPlans(command.out, config, plans));
  }
  return absl::OkStatus();
}

}  // namespace ilf
