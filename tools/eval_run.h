// What ilf-eval does with its cells.
#pragma once

#include <atomic>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "engine/evaluation/cell.h"
#include "engine/evaluation/evaluator.h"
#include "engine/model/image_classifier.h"
#include "engine/pipeline/diffusion_model.h"
#include "engine/training/feature_statistics.h"
#include "engine/training/reference.h"
#include "tools/eval_options.h"
#include "tools/eval_sheet.h"

namespace ilf {

// Which weights are measured.
struct EvalWeights {
  std::string backbone;          // BackboneSha256
  std::string feedback;          // tells the module and its settings from others; empty: none
  std::string autoencoder = {};  // WeightsSha256
};

// Measures cells, then writes the sheets that the options ask for. Not thread-safe.
class EvalRun {
 public:
  // All of them outlive the run; `silent` is null for a model without a feedback module.
  EvalRun(const EvalOptions& options, const DiffusionModel& model, Subjects subjects,
          const FeedbackModule* silent, const std::atomic<bool>& stop);

  // One JSON line a cell and guidance scale, on stdout and at the end of --out, but for cells that
  // are there already: measured of the same weights and plan in the same way, and with a Frechet
  // distance of the same judge where one is asked for. INVALID_ARGUMENT names the flag, before
  // anything is measured; CANCELLED once `stop` is set; errors of files otherwise.
  absl::Status Run(const std::vector<Cell>& cells, const EvalWeights& weights);

 private:
  absl::Status LoadJudge();
  struct Pending {
    const Cell* cell;
    std::string identity;
  };

  // Tells a measurement of the cell from every other.
  absl::StatusOr<std::string> IdentityOf(const Cell& cell, double guidance,
                                         const EvalWeights& weights) const;
  // `measured`: cells of an earlier run, by identity.
  absl::Status RunGuidance(double guidance, const std::vector<Cell>& cells,
                           const EvalWeights& weights, const std::set<std::string>& measured);
  // The noises of --fid_images and --pictures.
  Reference Judged(double guidance) const;
  // --pictures of the cells.
  absl::Status WritePictures(double guidance, const std::vector<Cell>& cells,
                             const EvalWeights& weights) const;
  absl::StatusOr<Reference> Solve(double guidance, const std::string& key) const;
  // `pictures`: of the reference; `judged`: noises for the judge.
  absl::Status Measure(const Pending& pending, double guidance, const Reference& reference,
                       const at::Tensor& pictures, const Reference& judged) const;

  const EvalOptions& options_;
  const DiffusionModel& model_;
  const Subjects subjects_;
  const std::atomic<bool>& stop_;
  const int side_;  // of the model's pictures, pixels
  const Evaluator evaluator_;
  CellSheet sheet_;
  std::optional<ImageClassifier> classifier_;
  FeatureStatistics real_;  // with a classifier
  std::string judge_;       // tells its Frechet distances from another's; empty without
};

}  // namespace ilf
