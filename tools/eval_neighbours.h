// `ilf-eval --neighbours`: the training pictures that lie nearest to sampled ones.
#pragma once

#include <atomic>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/evaluation/evaluator.h"
#include "engine/model/image_classifier.h"
#include "engine/pipeline/diffusion_model.h"
#include "engine/training/image_folder.h"
#include "tools/eval_options.h"

namespace ilf {

class NeighbourReport {
 public:
  // Opens the folders. `side`: of the model's pictures, pixels. ImageFolder's errors
  // and INVALID_ARGUMENT where the sheet would be too large, which name the flag. `options` outlive
  // it.
  static absl::StatusOr<NeighbourReport> Create(const EvalOptions& options, int side);

  // Samples, searches, writes the sheet, and prints to stdout one JSON line a picture and one of
  // the medians. Distances are roots of the mean squared difference, of pixels in [-1, 1] or of
  // the features of `classifier`, which may be null. CANCELLED once `stop` is set.
  absl::Status Run(const DiffusionModel& model, const Evaluator& evaluator,
                   const ImageClassifier* classifier, const std::atomic<bool>& stop) const;

 private:
  NeighbourReport(const EvalOptions& options, ImageFolder training, std::optional<ImageFolder> test)
      : options_(&options), training_(std::move(training)), test_(std::move(test)) {}

  // Up to 200 of the test pictures, [n, 3, side, side], the same every time; n is 0 without --real.
  absl::StatusOr<at::Tensor> TestPictures() const;

  const EvalOptions* options_;
  ImageFolder training_;
  std::optional<ImageFolder> test_;
};

}  // namespace ilf
