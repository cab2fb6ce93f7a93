#include "engine/pipeline/torch_step_runner.h"

#include <map>
#include <utility>

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Parallel.h>
#include <ATen/ops/randn.h>
#include <c10/core/InferenceMode.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include "absl/strings/str_cat.h"
#include "engine/base/check.h"
#include "engine/base/status_macros.h"
#include "engine/image/codec.h"
#include "engine/image/resize.h"
#include "engine/pipeline/denoiser.h"
#include "engine/pipeline/diffusion_model.h"
#include "engine/pipeline/guarded.h"
#include "engine/pipeline/load_models.h"

namespace ilf {
namespace {

constexpr int kJpegQuality = 92;

class TorchImage final : public ImageState {
 public:
  // `feedback`: the plan that the trajectory follows, of `model`; nullptr for a plain one.
  TorchImage(std::shared_ptr<const DiffusionModel> model, const CalibratedPlan* feedback,
             std::string batch_key, Trajectory trajectory)
      : model_(std::move(model)),
        feedback_(feedback),
        batch_key_(std::move(batch_key)),
        trajectory_(std::move(trajectory)) {}

  const std::string& BatchKey() const override { return batch_key_; }
  int Rows() const override { return trajectory_.rows(); }
  int Steps() const override { return static_cast<int>(trajectory_.plan.steps.size()); }
  int StepsDone() const override { return trajectory_.steps_done; }
  int FeedbackRows() const override {
    const bool feeds_back =
        !trajectory_.ended() && trajectory_.next_step().pass == PassKind::kFeedback;
    return feeds_back ? Rows() : 0;
  }
  int FeedbackSteps() const override {
    return feedback_ == nullptr ? 0 : feedback_->plan.feedback.size();
  }
  int64_t BlockEvaluations() const override { return trajectory_.block_evaluations; }
  int64_t PlainBlockEvaluations() const override {
    const int steps = feedback_ == nullptr ? Steps() : feedback_->equivalent_steps;
    return int64_t{steps} * Rows() * model_->info().blocks;
  }

  const DiffusionModel& model() const { return *model_; }
  Trajectory& trajectory() { return trajectory_; }
  const Trajectory& trajectory() const { return trajectory_; }

 private:
  const std::shared_ptr<const DiffusionModel> model_;
  const CalibratedPlan* const feedback_;
  const std::string batch_key_;
  Trajectory trajectory_;
};

const TorchImage& AsTorch(const ImageState& image) { return static_cast<const TorchImage&>(image); }

void WaitFor(c10::Device device) {
  if (device.is_cpu()) return;
  c10::impl::VirtualGuardImpl(device.type()).synchronizeDevice(device.index());
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
  TorchStepRunner(c10::Device device, int threads, ModelsByName models)
      : device_(device), threads_(threads), models_(std::move(models)) {}

  void PrepareThread() override { at::set_num_threads(threads_); }

  absl::StatusOr<std::unique_ptr<ImageState>> Begin(const GenerationRequest& request,
                                                    int image_index) override {
    return Guarded([&] { return BeginImage(request, image_index); });
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
      const at::Tensor x0 = AsTorch(image).trajectory().x0[0].to(at::kCPU).contiguous();
      ILF_ASSIGN_OR_RETURN(
          RgbBuffer rgb, ColourLatent(AsTorch(image).model().preview_colour(),
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

  absl::StatusOr<EncodedImage> Finish(const ImageState& image, ImageFormat format) override {
    return Guarded([&]() -> absl::StatusOr<EncodedImage> {
      c10::InferenceMode inference;
      const TorchImage& torch_image = AsTorch(image);
      const RgbImage rgb =
          DecodeLatent(torch_image.model().autoencoder(), torch_image.trajectory().x);
      return Encode(ViewOf(rgb), format);
    });
  }

 private:
  absl::StatusOr<std::unique_ptr<ImageState>> BeginImage(const GenerationRequest& request,
                                                         int image_index) {
    c10::InferenceMode inference;
    const auto found = models_.find(request.model);
    Check(found != models_.end(), "request for a model that is not served");
    const std::shared_ptr<const DiffusionModel>& model = found->second;
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
    const TransformerConfig& config = model->transformer().config();
    // Drawn on the CPU and in float32 on every device: a seed means the same picture everywhere.
    const at::Generator generator =
        at::make_generator<at::CPUGeneratorImpl>(request.seed + static_cast<uint64_t>(image_index));
    const at::Tensor noise =
        at::randn({1, config.in_channels, config.sample_size, config.sample_size}, generator)
            .to(device_);
    std::string key = absl::StrCat(request.model, "/", config.sample_size, "x", config.sample_size);
    return std::make_unique<TorchImage>(
        model, feedback, std::move(key),
        StartTrajectory(std::move(plan), noise,
                        std::get<ClassCondition>(request.condition).class_index,
                        request.guidance_scale));
  }

  const c10::Device device_;
  const int threads_;
  const ModelsByName models_;
};

}  // namespace

absl::StatusOr<TorchRunners> MakeTorchRunners(const TorchRunnerOptions& options) {
  // Also the probes of the linear layers must run with the threads that will serve.
  at::set_num_threads(options.threads_per_runner);
  TorchRunners result;
  std::map<std::string, ModelsByName> by_device;
  for (const std::string& name : options.devices) {
    ILF_ASSIGN_OR_RETURN(const c10::Device device, ParseDevice(name));
    auto [entry, is_new] = by_device.try_emplace(device.str());
    if (is_new) {
      ILF_ASSIGN_OR_RETURN(const Execution execution,
                           ChooseExecution(device, options.dtype, options.batch_invariant));
      ILF_ASSIGN_OR_RETURN(entry->second, LoadModels(options.model_root, execution));
    }
    result.runners.push_back(
        std::make_unique<TorchStepRunner>(device, options.threads_per_runner, entry->second));
  }
  Check(!by_device.empty(), "no devices");
  for (const auto& [name, model] : by_device.begin()->second)
    result.models.push_back(model->info());
  return result;
}

}  // namespace ilf
