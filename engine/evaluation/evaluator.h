// Measures cells: error to a fine reference, and the Frechet distance of many pictures to real
// ones.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "engine/evaluation/cell.h"
#include "engine/model/image_classifier.h"
#include "engine/pipeline/diffusion_model.h"
#include "engine/training/feature_statistics.h"
#include "engine/training/reference.h"

namespace ilf {

struct Measurement {
  double block_evaluations = 0.0;  // of an image, per row
  double seconds = 0.0;            // of an image, denoising alone, in batches
  double rmse = 0.0;               // of pictures in [-1, 1] to the reference's
  double median_rmse = 0.0;        // the median of the RMSEs of single pictures: few go far astray,
                                   // and they make up much of `rmse`
  double latent_rmse = 0.0;
};

struct PictureQuality {
  double fid = 0.0;
  double accuracy = 0.0;  // share of the pictures that the classifier gives their class
};

// Samples and compares. Not thread-safe.
class Evaluator {
 public:
  // `silent`: the model's module with its scales at 0, for silent cells; may be null where there
  // are none.
  Evaluator(const DiffusionModel& model, const FeedbackModule* silent, int64_t batch)
      : model_(model), silent_(silent), batch_(batch) {}

  // Of the backbone.
  int64_t layers() const { return model_.transformer().config().num_layers; }

  // Final latents of the images of `reference` in the way of `cell`; fills in costs.
  absl::StatusOr<at::Tensor> Sample(const Cell& cell, const Reference& reference,
                                    Measurement& cost) const;

  // `pictures`: the reference's, decoded.
  absl::StatusOr<Measurement> Compare(const Cell& cell, const Reference& reference,
                                      const at::Tensor& pictures) const;

  // The classifier is on the model's device. A batch at a time: no more pictures are kept. Shows
  // progress on stderr; CANCELLED once `stop` is set.
  absl::StatusOr<PictureQuality> Judge(const Cell& cell, const Reference& images,
                                       const ImageClassifier& classifier,
                                       const FeatureStatistics& real,
                                       const std::atomic<bool>& stop) const;

  // Latents [n, channels, h, w] -> pictures [n, 3, H, W] in [-1, 1], on the CPU.
  at::Tensor Decode(const at::Tensor& latents) const;

 private:
  // The same of one batch, on the model's device.
  at::Tensor DecodeBatch(const at::Tensor& latents) const;

  const DiffusionModel& model_;
  const FeedbackModule* const silent_;
  const int64_t batch_;
};

}  // namespace ilf
