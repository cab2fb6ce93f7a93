#include "engine/pipeline/torch_step_runner.h"

#include <map>
#include <optional>
#include <utility>

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ops/randn.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/InferenceMode.h>

#include "engine/base/check.h"
#include "engine/base/host_limits.h"
#include "engine/base/status_macros.h"
#include "engine/image/codec.h"
#include "engine/image/resize.h"
#include "engine/pipeline/denoiser.h"
#include "engine/pipeline/diffusion_model.h"
#include "engine/pipeline/guarded.h"
#include "engine/pipeline/load_models.h"
#include "engine/pipeline/math_threads.h"

namespace ilf {
namespace {

constexpr int kJpegQuality = 92;

class TorchImage final : public ImageState {
 public:
  struct Parts {
    std::shared_ptr<const DiffusionModel> model;
    const CalibratedPlan* feedback = nullptr;  // that the trajectory follows; null: a plain plan
    int height = 0, width = 0;                 // of the picture, in pixels
    PromptTokens prompt, negative_prompt;      // of a model that reads text
  };

  TorchImage(Parts parts, Trajectory trajectory)
      : parts_(std::move(parts)), trajectory_(std::move(trajectory)) {}

  const std::string& BatchKey() const override { return model().info().name; }
  int Rows() const override { return trajectory_.rows(); }
  int64_t TokensPerRow() const override {
    return model().TokensOf({trajectory_.x.size(2), trajectory_.x.size(3)});
  }
  int Steps() const override { return static_cast<int>(trajectory_.plan.steps.size()); }
  int StepsDone() const override { return trajectory_.steps_done; }
  int FeedbackRows() const override {
    const bool feeds_back =
        !trajectory_.ended() && trajectory_.next_step().pass == PassKind::kFeedback;
    return feeds_back ? Rows() : 0;
  }
  int FeedbackSteps() const override {
    return parts_.feedback == nullptr ? 0 : parts_.feedback->plan.feedback.size();
  }
  int64_t BlockEvaluations() const override { return trajectory_.block_evaluations; }
  int64_t PlainBlockEvaluations() const override {
    const int steps = parts_.feedback == nullptr ? Steps() : parts_.feedback->equivalent_steps;
    return int64_t{steps} * Rows() * model().info().blocks;
  }

  const DiffusionModel& model() const { return *parts_.model; }
  const Parts& parts() const { return parts_; }
  Trajectory& trajectory() { return trajectory_; }
  const Trajectory& trajectory() const { return trajectory_; }

 private:
  const Parts parts_;
  Trajectory trajectory_;
};

const TorchImage& AsTorch(const ImageState& image) { return static_cast<const TorchImage&>(image); }

absl::StatusOr<DeviceMemory> MemoryOf(c10::Device device) {
  if (!device.is_cpu()) {
    const auto [free, total] = at::getDeviceAllocator(device.type())->getMemoryInfo(device.index());
    return DeviceMemory{device.str(), static_cast<int64_t>(total - free),
                        static_cast<int64_t>(total)};
  }
  static const std::optional<int64_t> limit = ReadHostLimits().memory_bytes;
  const std::optional<int64_t> used = ResidentBytes();
  if (!used.has_value() || !limit.has_value()) return absl::UnavailableError("no /proc");
  return DeviceMemory{device.str(), *used, *limit};
}

absl::StatusOr<EncodedImage> Encode(const RgbView& view, ImageFormat format) {
  EncodedImage encoded{format, view.width, view.height, {}};
  ILF_ASSIGN_OR_RETURN(encoded.bytes, format == ImageFormat::kPng ? EncodePng(view)
                                                                  : EncodeJpeg(view, kJpegQuality));
  return encoded;
}

RgbView ViewOf(const RgbImage& image) { return {image.width, image.height, image.pixels.data()}; }

class TorchStepRunner final : public StepRunner {
 public:
  TorchStepRunner(c10::Device device, const TorchRunnerOptions& options, ModelsByName models)
      : device_(device),
        threads_(options.threads_per_runner),
        observer_(options.observer),
        models_(std::move(models)) {}

  void PrepareThread() override { SetMathThreads(threads_); }

  int64_t TokensPerRow(const GenerationRequest& request) const override {
    const DiffusionModel& model = *ModelOf(request);
    return model.TokensOf(model.LatentSizeOf(request.height, request.width));
  }

  absl::StatusOr<std::unique_ptr<ImageState>> Begin(const GenerationRequest& request,
                                                    int image_index) override {
    return Guarded([&] { return BeginImage(request, image_index); });
  }

  absl::Status Prepare(absl::Span<ImageState* const> images) override {
    return Guarded([&]() -> absl::Status {
      c10::InferenceMode inference;
      ReadPrompts(images);
      WaitFor(device_);
      return absl::OkStatus();
    });
  }

  absl::Status Run(absl::Span<ImageState* const> images) override {
    return Guarded([&]() -> absl::Status {
      c10::InferenceMode inference;
      std::vector<Trajectory*> trajectories;
      for (ImageState* image : images) {
        trajectories.push_back(&static_cast<TorchImage*>(image)->trajectory());
      }
      StepTogether(AsTorch(*images[0]).model().denoiser(), trajectories);
      WaitFor(device_);
      return absl::OkStatus();
    });
  }

  absl::StatusOr<RgbImage> TakePreview(const ImageState& image) override {
    return Guarded([&]() -> absl::StatusOr<RgbImage> {
      c10::InferenceMode inference;
      const TorchImage& torch_image = AsTorch(image);
      const DiffusionModel& model = torch_image.model();
      const int64_t downscale = model.autoencoder().config().downscale();
      const at::Tensor x0 =
          ResizeAndCrop(torch_image.trajectory().x0, torch_image.parts().height / downscale,
                        torch_image.parts().width / downscale)[0]
              .to(at::kCPU)
              .contiguous();
      ILF_ASSIGN_OR_RETURN(
          RgbBuffer rgb, ColourLatent(model.preview_colour(),
                                      {x0.data_ptr<float>(), static_cast<size_t>(x0.numel())},
                                      static_cast<int>(x0.size(1)), static_cast<int>(x0.size(2))));
      return RgbImage{rgb.width, rgb.height, std::move(rgb.pixels)};
    });
  }

  absl::StatusOr<EncodedImage> EncodePreview(const RgbImage& preview,
                                             const PreviewOptions& options) override {
    const PixelSize size = FitMaxSide({preview.width, preview.height}, options.max_side);
    if (size.width == preview.width && size.height == preview.height) {
      return Encode(ViewOf(preview), options.format);
    }
    ILF_ASSIGN_OR_RETURN(const RgbBuffer resized, Resize(ViewOf(preview), size));
    return Encode(resized.view(), options.format);
  }

  std::optional<DeviceMemory> Memory() override {
    absl::StatusOr<DeviceMemory> memory = Guarded([&] { return MemoryOf(device_); });
    if (!memory.ok()) return std::nullopt;
    return *std::move(memory);
  }

  absl::StatusOr<EncodedImage> Finish(const ImageState& image, ImageFormat format) override {
    return Guarded([&]() -> absl::StatusOr<EncodedImage> {
      c10::InferenceMode inference;
      const TorchImage& torch_image = AsTorch(image);
      const AutoencoderKl& autoencoder = torch_image.model().autoencoder();
      const at::Tensor& latent = torch_image.trajectory().x;
      const int64_t downscale = autoencoder.config().downscale();
      const ScopedMathThreads threads(
          DecodeThreads(latent.size(2) * latent.size(3) * downscale * downscale, threads_));
      const RgbImage rgb =
          DecodeLatent(autoencoder, latent, torch_image.parts().height, torch_image.parts().width);
      return Encode(ViewOf(rgb), format);
    });
  }

 private:
  const std::shared_ptr<const DiffusionModel>& ModelOf(const GenerationRequest& request) const {
    const auto found = models_.find(request.model);
    Check(found != models_.end(), "request for a model that is not served");
    return found->second;
  }

  absl::StatusOr<std::unique_ptr<ImageState>> BeginImage(const GenerationRequest& request,
                                                         int image_index) {
    c10::InferenceMode inference;
    const std::shared_ptr<const DiffusionModel>& model = ModelOf(request);
    const SolverKind solver = ToSolverKind(request.solver);
    const CalibratedPlan* feedback = nullptr;
    if (request.acceleration == Acceleration::kFeedback) {
      feedback = model->FindFeedbackPlan(request.steps, solver, request.guidance_scale);
      Check(feedback != nullptr, "request for a feedback plan that the model does not have");
    }
    ILF_ASSIGN_OR_RETURN(StepPlan plan,
                         feedback != nullptr
                             ? absl::StatusOr<StepPlan>(feedback->steps)
                             : MakeStepPlan(model->schedule(), solver, request.steps));
    const LatentSize latent = model->LatentSizeOf(request.height, request.width);
    // Drawn on the CPU and in float32 on every device: a seed means the same picture everywhere.
    const at::Generator generator =
        at::make_generator<at::CPUGeneratorImpl>(request.seed + static_cast<uint64_t>(image_index));
    const at::Tensor noise =
        at::randn({1, model->transformer().config().in_channels, latent.height, latent.width},
                  generator)
            .to(device_);
    TorchImage::Parts parts = {model, feedback, request.height, request.width, {}, {}};
    ImageCondition condition;
    if (const auto* text = std::get_if<TextCondition>(&request.condition)) {
      Check(model->prompt_reader() != nullptr, "a prompt for a model that reads none");
      ILF_ASSIGN_OR_RETURN(parts.prompt, model->prompt_reader()->Tokenize(text->prompt));
      ILF_ASSIGN_OR_RETURN(parts.negative_prompt,
                           model->prompt_reader()->Tokenize(text->negative_prompt));
    } else {
      condition = std::get<ClassCondition>(request.condition).class_index;
    }
    return std::make_unique<TorchImage>(
        std::move(parts),
        StartTrajectory(std::move(plan), noise, condition, request.guidance_scale));
  }

  // Those of images of one model, together in one pass of the text encoder.
  void ReadPrompts(absl::Span<ImageState* const> images) const {
    const DiffusionModel& model = AsTorch(*images[0]).model();
    if (model.prompt_reader() == nullptr) return;
    std::vector<PromptTokens> prompts;
    for (const ImageState* state : images) {
      const TorchImage& image = AsTorch(*state);
      prompts.push_back(image.parts().prompt);
      if (image.trajectory().guided()) prompts.push_back(image.parts().negative_prompt);
    }
    const std::vector<PromptRows::Context> contexts =
        model.prompt_reader()->Read(prompts, model.denoiser(), [&](bool hit) {
          if (observer_ != nullptr) observer_->PromptRead(model.info().name, hit);
        });
    auto context = contexts.begin();
    for (ImageState* image : images) {
      Trajectory& trajectory = static_cast<TorchImage*>(image)->trajectory();
      trajectory.condition.prompt = *context++;
      if (trajectory.guided()) trajectory.condition.negative_prompt = *context++;
    }
  }

  const c10::Device device_;
  const int threads_;
  Observer* const observer_;
  const ModelsByName models_;
};

}  // namespace

absl::StatusOr<TorchRunners> MakeTorchRunners(const TorchRunnerOptions& options) {
  // Also the probes of the linear layers must run with the threads that will serve.
  SetMathThreads(options.threads_per_runner);
  TorchRunners result;
  std::map<std::string, ModelsByName> by_device;
  for (const std::string& name : options.devices) {
    ILF_ASSIGN_OR_RETURN(const c10::Device device, ParseDevice(name));
    auto [entry, is_new] = by_device.try_emplace(device.str());
    if (is_new) {
      ILF_ASSIGN_OR_RETURN(const Execution execution,
                           ChooseExecution(device, options.dtype, options.batch_invariant));
      ILF_ASSIGN_OR_RETURN(entry->second,
                           LoadModels(options.model_root, {execution, options.prompt_cache_bytes}));
    }
    result.runners.push_back(std::make_unique<TorchStepRunner>(device, options, entry->second));
  }
  Check(!by_device.empty(), "no devices");
  for (const auto& [name, model] : by_device.begin()->second)
    result.models.push_back(model->info());
  return result;
}

}  // namespace ilf
