#include "engine/training/feedback_validation.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <system_error>

#include <torch/types.h>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "engine/base/status_macros.h"
#include "engine/checkpoint/json_config.h"
#include "engine/training/plan_fit.h"

namespace ilf {
namespace {

constexpr double kLeast = 1e-24;  // of squares

std::vector<double> Column(const std::vector<PlanErrors>& errors, double PlanErrors::*of) {
  std::vector<double> column;
  for (const PlanErrors& plan : errors) column.push_back(plan.*of);
  return column;
}

}  // namespace

absl::Status FeedbackValidation::Start(const Denoiser& denoiser,
                                       const std::vector<CalibratedPlan>& plans, bool resume,
                                       bool learned) {
  for (const Reference& references : held_out_.references) {
    if (held_out_.features == nullptr) break;
    reference_features_.push_back(held_out_.features->OfDecoded(
        references.final_latents(), references.guidance_scales, *held_out_.autoencoder));
    ILF_RETURN_IF_ERROR(reference_features_.back().Statistics().status());  // enough of them
  }
  ILF_ASSIGN_OR_RETURN(start_, Measure(denoiser, plans));
  if (learned) best_ = MeasureOf(start_);
  if (resume) {
    ReadLog();
  } else {
    std::error_code error;
    std::filesystem::remove(log_, error);
  }
  absl::FPrintF(stderr, "before training: %s\n", Told(start_));
  return absl::OkStatus();
}

absl::StatusOr<bool> FeedbackValidation::Check(int64_t step, const Denoiser& denoiser,
                                               const std::vector<CalibratedPlan>& plans) {
  ILF_ASSIGN_OR_RETURN(const std::vector<PlanErrors> errors, Measure(denoiser, plans));
  const double measure = MeasureOf(errors);
  const bool is_best = Count(measure);
  nlohmann::ordered_json line = {
      {"step", step}, {"of", What()}, {"rmse", Column(errors, &PlanErrors::rmse)}};
  if (held_out_.features != nullptr) {
    line["frechet"] = Column(errors, &PlanErrors::frechet);
  }
  line["measure"] = measure;
  line["best"] = is_best;
  std::ofstream(log_, std::ios::app) << line.dump() << "\n";
  absl::FPrintF(stderr, "validation at step %d: %s%s\n", step, Told(errors),
                is_best ? ", the best so far" : "");
  return is_best;
}

bool FeedbackValidation::Count(double measure) {
  const bool is_best = measure <= best_;
  if (is_best) best_ = measure;
  since_best_ = is_best ? 0 : since_best_ + 1;
  any_best_ |= is_best;
  return is_best;
}

absl::StatusOr<std::vector<PlanErrors>> FeedbackValidation::Measure(
    const Denoiser& denoiser, const std::vector<CalibratedPlan>& plans) const {
  std::vector<PlanErrors> errors;
  for (size_t i = 0; i < plans.size(); ++i) {
    ILF_ASSIGN_OR_RETURN(const at::Tensor latents,
                         RunPlan(denoiser, schedule_, plans[i].plan, held_out_.references[i],
                                 {.device = held_out_.device}));
    errors.push_back(ErrorsOf(latents, i));
  }
  return errors;
}

PlanErrors FeedbackValidation::ErrorsOf(const at::Tensor& latents, size_t plan) const {
  const Reference& held_out = held_out_.references[plan];
  const at::Tensor reference = held_out.final_latents();
  const AutoencoderKl* autoencoder = held_out_.autoencoder;
  if (autoencoder == nullptr) return {.rmse = Rmse(latents, reference)};
  at::NoGradGuard no_grad;
  const at::Tensor pictures = autoencoder->DecodeScaled(latents.to(held_out_.device));
  PlanErrors errors = {
      .rmse = Rmse(pictures, autoencoder->DecodeScaled(reference.to(held_out_.device)))};
  if (held_out_.features != nullptr) {
    errors.frechet = held_out_.pulls[plan]->Distance(
        held_out_.features->Of(pictures, held_out.guidance_scales).Counted(),
        reference_features_[plan].Counted());
  }
  return errors;
}

double FeedbackValidation::MeasureOf(const std::vector<PlanErrors>& errors) const {
  double log_sum = 0.0;
  for (size_t i = 0; i < errors.size(); ++i) {
    double square = errors[i].rmse * errors[i].rmse;
    if (held_out_.features != nullptr) {
      square = square / std::max(start_[i].rmse * start_[i].rmse, kLeast) +
               held_out_.feature_weight * errors[i].frechet;
    }
    log_sum += std::log(std::max(square, kLeast)) / 2;
  }
  return std::exp(log_sum / static_cast<double>(errors.size()));
}

std::string FeedbackValidation::Told(const std::vector<PlanErrors>& errors) const {
  std::string told = absl::StrCat("RMSE ", absl::StrJoin(Column(errors, &PlanErrors::rmse), ", "));
  if (held_out_.features != nullptr) {
    absl::StrAppend(&told, "; Frechet distance ",
                    absl::StrJoin(Column(errors, &PlanErrors::frechet), ", "),
                    " of the references'");
  }
  return told;
}

// What is measured: measures of anything else are no rivals.
std::string FeedbackValidation::What() const {
  if (held_out_.features != nullptr) {
    return absl::StrCat("pictures, and relative Frechet distance by ", held_out_.feature_weight);
  }
  return held_out_.autoencoder != nullptr ? "pictures" : "latents";
}

void FeedbackValidation::ReadLog() {
  std::ifstream lines(log_);
  for (std::string line; std::getline(lines, line);) {
    const absl::StatusOr<JsonConfig> json = JsonConfig::FromText(line, log_);
    if (!json.ok() || json->GetString("of", "").value_or("") != What()) continue;
    Count(json->GetDouble("measure").value_or(std::numeric_limits<double>::quiet_NaN()));
  }
}

}  // namespace ilf
