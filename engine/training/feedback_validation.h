// How good the plans of a feedback run are on held-out noises.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/model/autoencoder_kl.h"
#include "engine/pipeline/denoiser.h"
#include "engine/pipeline/feedback.h"
#include "engine/sampling/noise_schedule.h"
#include "engine/training/feature_pull.h"
#include "engine/training/reference.h"

namespace ilf {

struct PlanErrors {
  double rmse = 0.0;     // of latents, or of the pictures
  double frechet = 0.0;  // of features to real pictures', relative to the references'
};

struct HeldOut {
  std::vector<Reference> references;           // by plan
  const AutoencoderKl* autoencoder = nullptr;  // null: latents are compared, not pictures
  const RealFeatures* features = nullptr;      // null: RMSE alone
  std::vector<const FeaturePull*> pulls;       // by plan, with features
  double feature_weight = 0.0;                 // of the loss
  c10::Device device = c10::kCPU;
};

// Keeps a log, one line a check, by which a run that goes on knows the best check before. Not
// thread-safe.
class FeedbackValidation {
 public:
  // `schedule` is the plans', and outlives this, as `held_out`'s pointers do.
  FeedbackValidation(HeldOut held_out, const NoiseSchedule& schedule, std::string log)
      : held_out_(std::move(held_out)), schedule_(schedule), log_(std::move(log)) {}

  // Before training; `resume`: the log is gone on with, else it begins anew. `learned`: the start
  // is a module that has learned, which only a check that is no worse may replace.
  absl::Status Start(const Denoiser& denoiser, const std::vector<CalibratedPlan>& plans,
                     bool resume, bool learned);
  const std::vector<PlanErrors>& start() const { return start_; }  // by plan

  // Whether no check so far was better, nor the start where it had learned, by the geometric mean
  // over the plans: of the RMSE, or with features of the root of the loss, its square error
  // relative to what it was before training and its Frechet distance to that of the references
  // (FeaturePull::Distance). Checks of another loss do not count.
  absl::StatusOr<bool> Check(int64_t step, const Denoiser& denoiser,
                             const std::vector<CalibratedPlan>& plans);
  int checks_since_best() const { return since_best_; }  // those of the log too
  bool any_best() const { return any_best_; }  // whether a check was, those of the log too

 private:
  absl::StatusOr<std::vector<PlanErrors>> Measure(const Denoiser& denoiser,
                                                  const std::vector<CalibratedPlan>& plans) const;
  PlanErrors ErrorsOf(const at::Tensor& latents, size_t plan) const;
  double MeasureOf(const std::vector<PlanErrors>& errors) const;
  std::string Told(const std::vector<PlanErrors>& errors) const;
  std::string What() const;
  void ReadLog();
  bool Count(double measure);  // whether it is the best so far

  const HeldOut held_out_;
  const NoiseSchedule& schedule_;
  const std::string log_;
  std::vector<PictureFeatures> reference_features_;  // by plan, with features
  std::vector<PlanErrors> start_;
  double best_ = std::numeric_limits<double>::infinity();
  int since_best_ = 0;
  bool any_best_ = false;
};

}  // namespace ilf
