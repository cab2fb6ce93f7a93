#include "engine/training/base_trainer.h"

#include <algorithm>
#include <filesystem>
#include <utility>
#include <vector>

#include <torch/types.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "engine/base/status_macros.h"
#include "engine/checkpoint/json_config.h"
#include "engine/checkpoint/state_dict.h"
#include "engine/model/autoencoder_kl.h"
#include "engine/model/transformer.h"
#include "engine/pipeline/denoiser.h"
#include "engine/sampling/solver.h"
#include "engine/training/diffusers_writer.h"
#include "engine/training/image_folder.h"
#include "engine/training/initial_weights.h"
#include "engine/training/latent_cache.h"
#include "engine/training/sheet.h"

namespace ilf {
namespace {

constexpr int kSheetSteps = 20;
constexpr int64_t kSheetColumns = 8;
constexpr int64_t kSheetClasses = 16;

absl::StatusOr<Transformer> MakeModel(const TransformerConfig& config, const NamedTensors& weights,
                                      const Execution& execution) {
  StateDict tensors(WithEmbedderCopies(weights, config), "transformer weights");
  return Transformer::Load(config, tensors, execution);
}

// By timestep, [timesteps]: signal sqrt(alpha_cumprod), noise sqrt(1 - alpha_cumprod), and
// weight: of a timestep's squared error, min(SNR, gamma) / SNR (Hang et al., "Efficient Diffusion
// Training via Min-SNR Weighting Strategy", for epsilon prediction); 1 throughout when gamma is 0.
struct NoiseLevels {
  at::Tensor signal, noise, weight;
};

NoiseLevels LevelsOf(const NoiseSchedule& schedule, double snr_gamma, c10::Device device) {
  std::vector<double> alphas;
  for (int t = 0; t < schedule.num_train_timesteps(); ++t)
    alphas.push_back(schedule.AlphaCumprod(t));
  const at::Tensor alpha = at::tensor(alphas, at::kDouble);
  const at::Tensor snr = alpha / (1.0 - alpha);
  const at::Tensor weight = snr_gamma > 0 ? snr.clamp_max(snr_gamma) / snr : at::ones_like(snr);
  const auto place = [&](const at::Tensor& levels) { return levels.to(device, at::kFloat); };
  return {place(alpha.sqrt()), place((1.0 - alpha).sqrt()), place(weight)};
}

// Weighted mean squared error of the predicted noise. Timesteps are stratified over the batch: each
// has the uniform distribution, together they cover the schedule evenly, which lowers the variance
// of the gradient.
at::Tensor NoiseLoss(const Transformer& model, const NoiseLevels& levels, double label_dropout,
                     const at::Tensor& latents, const at::Tensor& labels,
                     const at::Generator& generator) {
  const c10::Device device = latents.device();
  const int64_t count = latents.size(0);
  const int64_t timesteps = levels.signal.size(0);
  const at::Tensor u = (at::arange(count) + at::rand({count}, generator)) / count;
  const at::Tensor t = (u * timesteps).to(at::kLong).clamp_max(timesteps - 1).to(device);
  const at::Tensor dropped = (at::rand({count}, generator) < label_dropout).to(device);
  const at::Tensor classes = at::where(dropped, model.config().num_classes, labels);
  const at::Tensor noise = at::randn(latents.sizes(), generator).to(device);
  const at::Tensor noisy = levels.signal.index_select(0, t).view({-1, 1, 1, 1}) * latents +
                           levels.noise.index_select(0, t).view({-1, 1, 1, 1}) * noise;
  const at::Tensor predicted = model(noisy, t.to(at::kFloat), classes).to(at::kFloat);
  const at::Tensor error = (predicted - noise).square().mean({1, 2, 3});
  return (levels.weight.index_select(0, t) * error).mean();
}

// Samples of every class (the first 16) from fixed noise, one class a row.
absl::Status WriteSamples(const Transformer& model, const AutoencoderKl& autoencoder,
                          const NoiseSchedule& schedule, const BaseTrainingOptions& options,
                          const LatentData& data, const std::string& file) {
  ILF_ASSIGN_OR_RETURN(const StepPlan plan,
                       MakeStepPlan(schedule, SolverKind::kDpmSolverPp2m, kSheetSteps));
  const TransformerConfig& config = model.config();
  const int64_t classes = std::min(config.num_classes, kSheetClasses);
  std::vector<Trajectory> images;
  for (int64_t c = 0; c < classes; ++c) {
    for (int64_t i = 0; i < kSheetColumns; ++i) {
      const at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(i);
      const at::Tensor noise =
          at::randn({1, config.in_channels, config.sample_size, config.sample_size}, generator);
      images.push_back(
          StartTrajectory(plan, noise.to(options.loop.device), c, options.sheet_guidance_scale));
    }
  }
  std::vector<Trajectory*> pointers;
  for (Trajectory& image : images) pointers.push_back(&image);
  for (int step = 0; step < kSheetSteps; ++step) StepTogether({&model}, pointers);
  std::vector<at::Tensor> pictures;
  for (const Trajectory& image : images) {
    pictures.push_back(autoencoder.DecodeScaled(image.x));
  }
  std::vector<std::string> names(data.label_names.begin(), data.label_names.begin() + classes);
  return WriteSheet(at::cat(pictures), kSheetColumns, file, names);
}

}  // namespace

absl::Status TrainBase(const BaseTrainingOptions& options, const std::atomic<bool>& stop) {
  const std::string& output = options.loop.output;
  const Execution execution = {.device = options.loop.device, .trainable = true};
  ILF_ASSIGN_OR_RETURN(const AutoencoderKl autoencoder,
                       LoadAutoencoder(output, options.loop.device));
  ILF_ASSIGN_OR_RETURN(const LatentData data, LoadLatents(options.data, options.image_size, output,
                                                          autoencoder, options.loop.device));
  TransformerConfig config = options.config;
  config.in_channels = config.out_channels = data.latents.size(1);
  config.sample_size = data.latents.size(2);
  config.num_classes = static_cast<int64_t>(data.label_names.size());
  if (config.sample_size % config.patch_size != 0) {
    return absl::InvalidArgumentError(absl::StrCat("latents have side ", config.sample_size,
                                                   ", not a multiple of patch size ",
                                                   config.patch_size));
  }
  ILF_ASSIGN_OR_RETURN(const NoiseSchedule schedule,
                       NoiseSchedule::Create(DefaultConfigOf(SolverKind::kDpmSolverPp2m)));

  TrainingOptions loop = options.loop;
  loop.output = output + "/training/base";
  const at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(loop.seed);
  ParameterSet parameters(InitialTransformer(config, generator), loop.device);
  ILF_ASSIGN_OR_RETURN(const Transformer model, MakeModel(config, parameters.weights(), execution));
  absl::FPrintF(stderr, "base: %d parameters, %d tokens, %d pictures, %d classes\n",
                parameters.size(), config.tokens(), data.labels.size(0), config.num_classes);
  const NoiseLevels levels = LevelsOf(schedule, options.snr_gamma, loop.device);

  TrainingTask task;
  task.name = "base";
  task.loss = [&](int64_t step, const at::Generator& random) -> absl::StatusOr<at::Tensor> {
    const at::Tensor index =
        at::tensor(BatchIndices(data.labels.size(0), loop.batch_size, step, loop.seed));
    return NoiseLoss(model, levels, options.label_dropout,
                     data.latents.index_select(0, index).to(loop.device),
                     data.labels.index_select(0, index).to(loop.device), random);
  };
  task.write = [&](int64_t step, const NamedTensors& averaged) -> absl::Status {
    ILF_ASSIGN_OR_RETURN(const Transformer average, MakeModel(config, averaged, execution));
    ILF_RETURN_IF_ERROR(WriteSamples(average, autoencoder, schedule, options, data,
                                     absl::StrFormat("%s/step_%08d.png", loop.output, step)));
    return WriteDit(output, config, averaged, data.label_names, options.save_dtype);
  };
  return RunTraining(task, loop, parameters, stop);
}

}  // namespace ilf
