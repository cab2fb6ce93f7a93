#include "engine/pipeline/diffusion_model.h"

#include <algorithm>
#include <filesystem>
#include <utility>

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/upsample_bilinear2d.h>
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

constexpr char kWeights[] = "diffusion_pytorch_model";
constexpr int kDefaultFirstOrderSteps = 50;
constexpr int kDefaultMultistepSteps = 20;
constexpr double kDefaultDitGuidanceScale = 4.0;     // diffusers' DiTPipeline
constexpr double kDefaultPixArtGuidanceScale = 4.5;  // and its PixArt pipelines
constexpr char kAlphaPipeline[] = "PixArtAlphaPipeline";
constexpr double kMaxGuidanceScale = 30.0;  // what a request may ask for, too
constexpr int kFittedImages = 8;
constexpr int64_t kBinnedDownscale = 8;

absl::Status CheckThatPartsFit(const ModelDirectory& directory,
                               const TransformerConfig& transformer, const AutoencoderConfig& vae) {
  const auto wrong = [&](absl::string_view what) {
    return absl::InvalidArgumentError(absl::StrCat(directory.path, ": ", what));
  };
  if (transformer.in_channels != vae.latent_channels) {
    return wrong(absl::StrCat("transformer/config.json has in_channels ", transformer.in_channels,
                              " and vae/config.json has latent_channels ", vae.latent_channels));
  }
  if (!transformer.reads_text() && !directory.labels.empty() &&
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

// The tables are of pictures 8 times as large as their latents.
absl::Span<const ResolutionBin> BinsOf(const TransformerConfig& transformer,
                                       const AutoencoderConfig& vae) {
  if (!transformer.reads_text() || vae.downscale() != kBinnedDownscale) return {};
  return ResolutionBinsOf(transformer.sample_size);
}

// Any size whose bin is not far: up to twice the side that the model was made for.
SizeRange BinnedSizes(int default_side, int downscale) {
  return {.min_side = default_side / 4, .max_side = 2 * default_side, .multiple = downscale};
}

// Number of steps and guidance scale that suit the model: generation_config.json where there is
// one.
absl::Status ReadDefaults(const std::string& path, ModelInfo& info) {
  info.default_steps = info.default_solver == Solver::kDpmSolverPp2m ? kDefaultMultistepSteps
                                                                     : kDefaultFirstOrderSteps;
  info.default_guidance_scale =
      info.accepts_prompt ? kDefaultPixArtGuidanceScale : kDefaultDitGuidanceScale;
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
  info.dtype = execution.dtype == at::kBFloat16 ? "bfloat16" : "float32";
  info.accepts_prompt = transformer.reads_text();
  info.accepts_labels = !info.accepts_prompt;
  const int side = static_cast<int>(transformer.sample_size * vae.downscale());
  info.default_size = {side, side};
  info.sizes = {info.default_size};
  if (info.accepts_labels) {
    info.architecture = "DiT";
    info.labels = directory.labels;
    for (int64_t i = static_cast<int64_t>(info.labels.size()); i < transformer.num_classes; ++i) {
      info.labels.push_back(absl::StrCat(i));
    }
  } else {
    const absl::StatusOr<std::string> pipeline = directory.model_index.GetString("_class_name", "");
    info.architecture =
        pipeline.ok() && *pipeline == kAlphaPipeline ? "PixArt-alpha" : "PixArt-Sigma";
    if (!BinsOf(transformer, vae).empty()) {
      info.size_range = BinnedSizes(side, static_cast<int>(vae.downscale()));
    }
  }
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

at::Tensor ResizeAndCrop(const at::Tensor& picture, int64_t height, int64_t width) {
  if (picture.size(2) == height && picture.size(3) == width) return picture;
  const double scale = std::max(static_cast<double>(height) / picture.size(2),
                                static_cast<double>(width) / picture.size(3));
  // Rounded down as diffusers does, but never below what is asked for: there one pixel that
  // rounding takes away ends in a picture of one row.
  const auto scaled = [&](int64_t side, int64_t least) {
    return std::max(least, static_cast<int64_t>(static_cast<double>(side) * scale));
  };
  const at::Tensor resized = at::upsample_bilinear2d(
      picture.to(at::kFloat), {scaled(picture.size(2), height), scaled(picture.size(3), width)},
      /*align_corners=*/false);
  return resized.narrow(2, (resized.size(2) - height) / 2, height)
      .narrow(3, (resized.size(3) - width) / 2, width);
}

RgbImage DecodeLatent(const AutoencoderKl& autoencoder, const at::Tensor& latent, int height,
                      int width) {
  return ToRgbImage(ResizeAndCrop(autoencoder.DecodeScaled(latent), height, width)[0]);
}

LatentSize DiffusionModel::LatentSizeOf(int height, int width) const {
  if (!bins_.empty()) {
    const ResolutionBin& bin = ClosestBin(bins_, height, width);
    height = bin.height;
    width = bin.width;
  }
  const int64_t downscale = autoencoder_.config().downscale();
  return {height / downscale, width / downscale};
}

int64_t DiffusionModel::TokensOf(const LatentSize& latent) const {
  const int64_t patch = transformer_.config().patch_size;
  return (latent.height / patch) * (latent.width / patch);
}

absl::StatusOr<std::shared_ptr<const DiffusionModel>> DiffusionModel::Load(
    const std::string& path, const std::string& name, const LoadOptions& options) {
  c10::InferenceMode inference;
  const Execution& execution = options.execution;
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

  ILF_ASSIGN_OR_RETURN(StateDict weights, StateDict::LoadFolder(path + "/transformer", kWeights));
  ILF_ASSIGN_OR_RETURN(Transformer transformer, Transformer::Load(config, weights, execution));
  ILF_ASSIGN_OR_RETURN(StateDict vae_weights, StateDict::LoadFolder(path + "/vae", kWeights));
  ILF_ASSIGN_OR_RETURN(AutoencoderKl autoencoder,
                       AutoencoderKl::Load(vae_config, vae_weights, execution));

  std::shared_ptr<DiffusionModel> model(new DiffusionModel(
      execution, std::move(transformer), std::move(autoencoder), *std::move(schedule)));
  ILF_ASSIGN_OR_RETURN(model->preview_colour_,
                       FindPreviewColour(path, model->autoencoder_, execution, config.sample_size));
  if (config.reads_text()) {
    ILF_ASSIGN_OR_RETURN(model->prompt_reader_, PromptReader::Load(directory, config, execution,
                                                                   options.prompt_cache_bytes));
    model->bins_ = BinsOf(config, vae_config);
  }
  model->info_ = DescribeModel(name, directory, config, vae_config, execution);
  if (model->prompt_reader_ != nullptr) {
    model->info_.max_prompt_tokens = model->prompt_reader_->max_tokens();
  }
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
