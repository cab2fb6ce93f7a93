// A model as it is served: transformer, autoencoder, noise schedule, feedback module, preview
// colours, and what reads prompts where it takes them.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/api/model_info.h"
#include "engine/image/preview_colour.h"
#include "engine/model/autoencoder_kl.h"
#include "engine/model/execution.h"
#include "engine/model/transformer.h"
#include "engine/pipeline/denoiser.h"
#include "engine/pipeline/feedback.h"
#include "engine/pipeline/prompt_reader.h"
#include "engine/pipeline/resolution_bins.h"
#include "engine/sampling/noise_schedule.h"
#include "engine/sampling/solver.h"

namespace ilf {

struct LatentSize {
  int64_t height = 0;
  int64_t width = 0;
};

struct LoadOptions {
  Execution execution;
  int64_t prompt_cache_bytes = int64_t{256} << 20;  // of contexts of prompts, on the device
};

// Const after Load and thread-safe; the workers of a device share one.
class DiffusionModel {
 public:
  // Loads the model directory `path` under the name `name`. An error is one line that names file
  // and reason.
  static absl::StatusOr<std::shared_ptr<const DiffusionModel>> Load(const std::string& path,
                                                                    const std::string& name,
                                                                    const LoadOptions& options);

  const ModelInfo& info() const { return info_; }
  const Execution& execution() const { return execution_; }
  const Transformer& transformer() const { return transformer_; }
  const AutoencoderKl& autoencoder() const { return autoencoder_; }
  const NoiseSchedule& schedule() const { return schedule_; }
  Denoiser denoiser() const {
    return {&transformer_, feedback_ ? &feedback_->module : nullptr,
            autoencoder_.config().downscale()};
  }
  // Empty without a feedback module.
  std::vector<CalibratedPlan> feedback_plans() const {
    return feedback_ ? feedback_->plans : std::vector<CalibratedPlan>();
  }
  // Nullptr when the model has no such plan.
  const CalibratedPlan* FindFeedbackPlan(int steps, SolverKind solver, double guidance_scale) const;
  const PreviewColour& preview_colour() const { return preview_colour_; }
  // Null for a model that takes class labels.
  const PromptReader* prompt_reader() const { return prompt_reader_.get(); }
  // Latent of a picture of so many pixels: of its resolution bin, where the model has bins.
  LatentSize LatentSizeOf(int height, int width) const;
  // Tokens that the transformer makes of a latent.
  int64_t TokensOf(const LatentSize& latent) const;

 private:
  DiffusionModel(const Execution& execution, Transformer transformer, AutoencoderKl autoencoder,
                 NoiseSchedule schedule);

  Execution execution_;
  Transformer transformer_;
  AutoencoderKl autoencoder_;
  NoiseSchedule schedule_;
  std::optional<Feedback> feedback_;
  std::unique_ptr<const PromptReader> prompt_reader_;
  absl::Span<const ResolutionBin> bins_;
  PreviewColour preview_colour_;
  ModelInfo info_;
};

SolverKind ToSolverKind(Solver solver);
Solver ToSolver(SolverKind kind);

// A picture [3, h, w] in [-1, 1] (clamped) as 8-bit RGB.
RgbImage ToRgbImage(const at::Tensor& picture);

// Latents [1, channels, h, w] as the transformer knows them -> 8-bit RGB of `height` x `width`
// pixels: a picture of another size is scaled until it covers that, and cut around its centre
// (diffusers' resize_and_crop_tensor). One image a call: convolutions are not batch-invariant.
RgbImage DecodeLatent(const AutoencoderKl& autoencoder, const at::Tensor& latent, int height,
                      int width);

// picture [1, channels, h, w] -> [1, channels, height, width].
at::Tensor ResizeAndCrop(const at::Tensor& picture, int64_t height, int64_t width);

}  // namespace ilf
