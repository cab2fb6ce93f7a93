#include "engine/training/vae_trainer.h"

#include <cmath>
#include <optional>
#include <utility>
#include <vector>

#include <torch/types.h>

#include "absl/strings/str_format.h"
#include "engine/base/status_macros.h"
#include "engine/model/autoencoder_kl.h"
#include "engine/pipeline/preview_fit.h"
#include "engine/training/diffusers_writer.h"
#include "engine/training/image_folder.h"
#include "engine/training/initial_weights.h"
#include "engine/training/sheet.h"

namespace ilf {
namespace {

constexpr int64_t kMeasuredImages = 1024;  // for the scaling factor and the preview map
constexpr int64_t kSheetImages = 16;

absl::StatusOr<AutoencoderKl> MakeModel(const AutoencoderConfig& config,
                                        const NamedTensors& weights, const Execution& execution) {
  StateDict tensors(weights, "autoencoder weights");
  return AutoencoderKl::Load(config, tensors, execution);
}

std::vector<int64_t> FirstIndices(int64_t count) {
  std::vector<int64_t> indices(count);
  for (int64_t i = 0; i < count; ++i) indices[i] = i;
  return indices;
}

at::Tensor VaeLoss(const AutoencoderKl& model, const VaeTrainingOptions& options,
                   const at::Tensor& images, at::Generator generator) {
  const LatentDistribution latent = model.Encode(images);
  const at::Tensor mean = latent.mean.to(at::kFloat);
  const at::Tensor log_variance = latent.log_variance.to(at::kFloat);
  const at::Tensor noise = at::randn(mean.sizes(), generator, at::kFloat).to(mean.device());
  const at::Tensor decoded = model.Decode(mean + noise * (log_variance * 0.5).exp()).to(at::kFloat);
  const at::Tensor difference = decoded - images;
  const at::Tensor reconstruction = options.l1_weight * difference.abs().mean() +
                                    (1.0 - options.l1_weight) * difference.square().mean();
  // Per pixel value, as the reconstruction is.
  const at::Tensor kl = 0.5 * (mean.square() + log_variance.exp() - 1.0 - log_variance).sum() /
                        static_cast<double>(images.numel());
  return reconstruction + options.kl_weight * kl;
}

// Writes the model, the preview map and a sheet of pictures beside their reconstructions.
absl::Status WriteVae(const VaeTrainingOptions& options, const ImageFolder& folder, int64_t step,
                      const NamedTensors& weights, const std::string& sheets) {
  const Execution execution = {.device = options.loop.device, .trainable = true};
  ILF_ASSIGN_OR_RETURN(const AutoencoderKl model, MakeModel(options.config, weights, execution));
  const int64_t count = std::min(kMeasuredImages, folder.size());
  ILF_ASSIGN_OR_RETURN(at::Tensor images, folder.Images(FirstIndices(count)));
  images = images.to(options.loop.device);
  const at::Tensor latents = model.Encode(images).mean;
  AutoencoderConfig config = options.config;
  config.scaling_factor = 1.0 / latents.std().item<double>();

  const at::Tensor shown = images.narrow(0, 0, std::min(kSheetImages, count));
  const at::Tensor decoded = model.Decode(latents.narrow(0, 0, shown.size(0)));
  const double psnr = -10.0 * std::log10((decoded - shown).square().mean().item<double>() / 4.0);
  absl::FPrintF(stderr, "\nvae: step %d, PSNR %.1f dB on %d pictures, scaling factor %.4f\n", step,
                psnr, shown.size(0), config.scaling_factor);
  ILF_RETURN_IF_ERROR(WriteSheet(at::cat({shown, decoded}), static_cast<int>(shown.size(0)),
                                 absl::StrFormat("%s/step_%08d.png", sheets, step)));
  ILF_RETURN_IF_ERROR(WriteAutoencoder(options.loop.output, config, options.image_size, weights,
                                       options.save_dtype));
  return WritePreviewColour(options.loop.output,
                            FitPreviewColour(latents * config.scaling_factor, images));
}

}  // namespace

absl::Status TrainVae(const VaeTrainingOptions& options, const std::atomic<bool>& stop) {
  ILF_ASSIGN_OR_RETURN(const ImageFolder folder,
                       ImageFolder::Open(options.data, static_cast<int>(options.image_size)));
  if (options.image_size % options.config.downscale() != 0) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "image size %d is not a multiple of %d", options.image_size, options.config.downscale()));
  }
  TrainingOptions loop = options.loop;
  loop.output = options.loop.output + "/training/vae";
  const at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(loop.seed);
  ParameterSet parameters(InitialAutoencoder(options.config, generator), loop.device);
  const Execution execution = {.device = loop.device, .trainable = true};
  ILF_ASSIGN_OR_RETURN(const AutoencoderKl model,
                       MakeModel(options.config, parameters.weights(), execution));

  TrainingTask task;
  task.name = "vae";
  task.loss = [&](int64_t share, at::Generator random) -> absl::StatusOr<at::Tensor> {
    ILF_ASSIGN_OR_RETURN(
        const at::Tensor images,
        folder.Images(BatchIndices(folder.pass(), loop.share_size(), share, loop.seed)));
    return VaeLoss(model, options, images.to(loop.device), std::move(random));
  };
  task.write = [&](int64_t step, const NamedTensors& weights) {
    return WriteVae(options, folder, step, weights, loop.output);
  };
  return RunTraining(task, loop, parameters, stop);
}

}  // namespace ilf
