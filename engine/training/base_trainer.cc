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
#include "engine/training/noise_loss.h"
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
  NamedTensors initial = InitialTransformer(config, generator);
  if (!options.initial_model.empty()) {
    ILF_RETURN_IF_ERROR(TakeWeights(options.initial_model + "/transformer",
                                    "diffusion_pytorch_model", initial));
  }
  ParameterSet parameters(initial, loop.device);
  ILF_ASSIGN_OR_RETURN(const Transformer model, MakeModel(config, parameters.weights(), execution));
  absl::FPrintF(stderr, "base: %d parameters, %d tokens, %d pictures, %d classes\n",
                parameters.size(), config.tokens(), data.labels.size(0), config.num_classes);
  const NoiseLevels levels = NoiseLevelsOf(schedule, options.weighting, loop.device);

  TrainingTask task;
  task.name = "base";
  task.loss = [&](int64_t share, const at::Generator& random) -> absl::StatusOr<at::Tensor> {
    const at::Tensor index =
        at::tensor(BatchIndices(data.pass, loop.share_size(), share, loop.seed));
    const at::Tensor dropped = at::rand({loop.share_size()}, random) < options.label_dropout;
    const at::Tensor classes =
        at::where(dropped, config.num_classes, data.labels.index_select(0, index));
    return NoiseLoss(model, levels, data.latents.index_select(0, index).to(loop.device),
                     classes.to(loop.device), random);
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
