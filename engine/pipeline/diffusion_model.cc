#include "engine/pipeline/diffusion_model.h"

#include <algorithm>
#include <filesystem>
#include <utility>

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/randn.h>
#include <c10/core/InferenceMode.h>

#include "absl/strings/str_cat.h"
#include "engine/base/check.h"
#include "engine/base/status_macros.h"
#include "engine/checkpoint/model_directory.h"
#include "engine/checkpoint/state_dict.h"
#include "engine/pipeline/preview_fit.h"
#include "engine/pipeline/scheduler_config.h"

namespace ilf {
namespace {

constexpr int kDefaultFirstOrderSteps = 50;
constexpr int kDefaultMultistepSteps = 20;
constexpr double kDefaultGuidanceScale = 4.0;  // diffusers' DiTPipeline
constexpr double kMaxGuidanceScale = 30.0;     // what a request may ask for, too
constexpr int kFittedImages = 8;

absl::Status CheckThatPartsFit(const ModelDirectory& directory,
                               const TransformerConfig& transformer, const AutoencoderConfig& vae) {
  const auto wrong = [&](absl::string_view what) {
    return absl::InvalidArgumentError(absl::StrCat(directory.path, ": ", what));
  };
  if (transformer.in_channels != vae.latent_channels) {
    return wrong(absl::StrCat("transformer/config.json has in_channels ", transformer.in_channels,
                              " and vae/config.json has latent_channels ", vae.latent_channels));
  }
  if (!directory.labels.empty() &&
      static_cast<int64_t>(directory.labels.size()) != transformer.num_classes) {
    return wrong(absl::StrCat("model_index.json names ", directory.labels.size(),
                              " classes and transformer/config.json has num_embeds_ada_norm ",
                              transformer.num_classes));
  }
  return absl::OkStatus();
}

// The map stored with the model, else the published one for its scaling factor, else one fitted to
// the decoder.
absl::StatusOr<PreviewColour> FindPreviewColour(const std::string& path,
                                                const AutoencoderKl& autoencoder,
                                                const Execution& execution, int64_t side) {
  const AutoencoderConfig& config = autoencoder.config();
  const std::string file = path + "/preview/config.json";
  if (std::filesystem::exists(file)) return ReadPreviewColour(file, config.latent_channels);
  const std::optional<PreviewColour> known =
      KnownPreviewColour(config.scaling_factor, static_cast<int>(config.latent_channels));
  if (known) return *known;
  std::vector<at::Tensor> latents, images;
  for (int i = 0; i < kFittedImages; ++i) {
    const at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(/*seed=*/i);
    latents.push_back(
        at::randn({1, config.latent_channels, side, side}, generator).to(execution.device));
    images.push_back(autoencoder.DecodeScaled(latents.back()));
  }
  return FitPreviewColour(at::cat(latents), at::cat(images));
}

// Number of steps and guidance scale that suit the model: generation_config.json where there is
// one.
absl::Status ReadDefaults(const std::string& path, ModelInfo& info) {
  info.default_steps = info.default_solver == Solver::kDpmSolverPp2m ? kDefaultMultistepSteps
                                                                     : kDefaultFirstOrderSteps;
  info.default_guidance_scale = kDefaultGuidanceScale;
  const std::string file = path + "/generation_config.json";
  if (std::filesystem::exists(file)) {
    ILF_ASSIGN_OR_RETURN(const JsonConfig json, JsonConfig::Load(file));
    ILF_ASSIGN_OR_RETURN(const int64_t steps,
                         json.GetInt("num_inference_steps", info.default_steps));
    ILF_ASSIGN_OR_RETURN(info.default_guidance_scale,
                         json.GetDouble("guidance_scale", info.default_guidance_scale));
    if (steps < 1 || steps > info.max_steps) {
      return absl::InvalidArgumentError(
          absl::StrCat(file, ": num_inference_steps must be 1 to ", info.max_steps));
    }
    if (!(info.default_guidance_scale >= 1.0 && info.default_guidance_scale <= kMaxGuidanceScale)) {
      return absl::InvalidArgumentError(
          absl::StrCat(file, ": guidance_scale must be 1 to ", kMaxGuidanceScale));
    }
    info.default_steps = static_cast<int>(steps);
  }
  info.default_steps = std::min(info.default_steps, info.max_steps);
  return absl::OkStatus();
}

ModelInfo DescribeModel(const std::string& name, const ModelDirectory& directory,
                        const TransformerConfig& transformer, const AutoencoderConfig& vae,
                        const Execution& execution) {
  ModelInfo info;
  info.name = name;
  info.architecture = "DiT";
  info.dtype = execution.dtype == at::kBFloat16 ? "bfloat16" : "float32";
  info.accepts_labels = true;
  info.labels = directory.labels;
  for (int64_t i = static_cast<int64_t>(info.labels.size()); i < transformer.num_classes; ++i) {
    info.labels.push_back(absl::StrCat(i));
  }
  const int side = static_cast<int>(transformer.sample_size * vae.downscale());
  info.default_size = {side, side};
  info.sizes = {info.default_size};
  info.blocks = static_cast<int>(transformer.num_layers);
  return info;
}

std::vector<FeedbackPlanInfo> DescribePlans(const Feedback& feedback, const Denoiser& denoiser) {
  std::vector<FeedbackPlanInfo> infos;
  for (const CalibratedPlan& plan : feedback.plans) {
    FeedbackPlanInfo& info = infos.emplace_back();
    info.steps = plan.plan.steps;
    info.solver = ToSolver(plan.plan.solver);
    info.feedback_steps = static_cast<int>(plan.plan.feedback.size());
    for (const PlannedStep& step : plan.steps.steps) {
      info.block_evaluations += denoiser.BlocksOf(step.pass);
    }
    info.equivalent_steps = plan.equivalent_steps;
    info.min_guidance_scale = plan.min_guidance_scale;
    info.max_guidance_scale = plan.max_guidance_scale;
  }
  return infos;
}

}  // namespace

const CalibratedPlan* DiffusionModel::FindFeedbackPlan(int steps, SolverKind solver,
                                                       double guidance_scale) const {
  return feedback_ ? FindPlan(feedback_->plans, steps, solver, guidance_scale) : nullptr;
}

SolverKind ToSolverKind(Solver solver) {
  switch (solver) {
    case Solver::kDdim:
      return SolverKind::kDdim;
    case Solver::kDpmSolverPp2m:
      return SolverKind::kDpmSolverPp2m;
    case Solver::kEuler:
      return SolverKind::kEuler;
  }
  Check(false, "unknown solver");
  return SolverKind::kDdim;
}

Solver ToSolver(SolverKind kind) {
  switch (kind) {
    case SolverKind::kDdim:
      return Solver::kDdim;
    case SolverKind::kDpmSolverPp2m:
      return Solver::kDpmSolverPp2m;
    case SolverKind::kEuler:
      return Solver::kEuler;
  }
  Check(false, "unknown solver");
  return Solver::kDdim;
}

RgbImage ToRgbImage(const at::Tensor& picture) {
  const at::Tensor pixels = ((picture.to(at::kFloat) / 2 + 0.5).clamp(0, 1) * 255)
                                .round()
                                .to(at::kByte)
                                .permute({1, 2, 0})
                                .to(at::kCPU)
                                .contiguous();
  RgbImage image;
  image.height = static_cast<int>(pixels.size(0));
  image.width = static_cast<int>(pixels.size(1));
  image.pixels.assign(pixels.data_ptr<uint8_t>(), pixels.data_ptr<uint8_t>() + pixels.numel());
  return image;
}

RgbImage DecodeLatent(const AutoencoderKl& autoencoder, const at::Tensor& latent) {
  return ToRgbImage(autoencoder.DecodeScaled(latent)[0]);
}

absl::StatusOr<std::shared_ptr<const DiffusionModel>> DiffusionModel::Load(
    const std::string& path, const std::string& name, const Execution& execution) {
  c10::InferenceMode inference;
  ILF_ASSIGN_OR_RETURN(const ModelDirectory directory, ReadModelDirectory(path));
  ILF_ASSIGN_OR_RETURN(const TransformerConfig config,
                       TransformerConfig::FromJson(directory.transformer));
  ILF_ASSIGN_OR_RETURN(const AutoencoderConfig vae_config,
                       AutoencoderConfig::FromJson(directory.vae));
  ILF_RETURN_IF_ERROR(CheckThatPartsFit(directory, config, vae_config));
  ILF_ASSIGN_OR_RETURN(const SchedulerConfig scheduler, ReadSchedulerConfig(directory.scheduler));
  absl::StatusOr<NoiseSchedule> schedule = NoiseSchedule::Create(scheduler.schedule);
  if (!schedule.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat(directory.scheduler.origin(), ": ", schedule.status().message()));
  }

  ILF_ASSIGN_OR_RETURN(StateDict weights, StateDict::Load(directory.TransformerWeights()));
  ILF_ASSIGN_OR_RETURN(Transformer transformer, Transformer::Load(config, weights, execution));
  ILF_ASSIGN_OR_RETURN(StateDict vae_weights, StateDict::Load(directory.VaeWeights()));
  ILF_ASSIGN_OR_RETURN(AutoencoderKl autoencoder,
                       AutoencoderKl::Load(vae_config, vae_weights, execution));

  std::shared_ptr<DiffusionModel> model(new DiffusionModel(
      execution, std::move(transformer), std::move(autoencoder), *std::move(schedule)));
  ILF_ASSIGN_OR_RETURN(model->preview_colour_,
                       FindPreviewColour(path, model->autoencoder_, execution, config.sample_size));
  model->info_ = DescribeModel(name, directory, config, vae_config, execution);
  model->info_.default_solver = ToSolver(scheduler.default_solver);
  model->info_.solvers = {Solver::kDdim, Solver::kDpmSolverPp2m, Solver::kEuler};
  if (HasFeedback(directory)) {
    ILF_ASSIGN_OR_RETURN(model->feedback_,
                         LoadFeedback(directory, config, model->schedule_, execution));
    model->info_.feedback_plans = DescribePlans(*model->feedback_, model->denoiser());
  }
  model->info_.max_steps = std::min({MaxSteps(model->schedule_, SolverKind::kDdim),
                                     MaxSteps(model->schedule_, SolverKind::kDpmSolverPp2m),
                                     MaxSteps(model->schedule_, SolverKind::kEuler)});
  if (model->info_.max_steps < 1) {
    return absl::InvalidArgumentError(absl::StrCat(
        directory.scheduler.origin(), ": the schedule leaves no timestep to sample at"));
  }
  ILF_RETURN_IF_ERROR(ReadDefaults(path, model->info_));
  return model;
}

DiffusionModel::DiffusionModel(const Execution& execution, Transformer transformer,
                               AutoencoderKl autoencoder, NoiseSchedule schedule)
    : execution_(execution),
      transformer_(std::move(transformer)),
      autoencoder_(std::move(autoencoder)),
      schedule_(std::move(schedule)) {}

}  // namespace ilf
