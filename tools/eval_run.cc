#include "tools/eval_run.h"

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <limits>
#include <utility>

#include <torch/types.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "engine/base/status_macros.h"
#include "engine/checkpoint/file_hash.h"
#include "engine/checkpoint/json_config.h"
#include "engine/training/image_folder.h"
#include "tools/eval_cells.h"
#include "tools/eval_neighbours.h"
#include "tools/eval_pictures.h"

namespace ilf {
namespace {

constexpr size_t kIdentityDigits = 16;

// The identities that the lines of an earlier run tell; `judge`: of those with its Frechet
// distance alone (empty: all).
std::set<std::string> Measured(const std::string& file, const std::string& judge) {
  std::set<std::string> identities;
  std::ifstream lines(file);
  for (std::string line; std::getline(lines, line);) {
    const absl::StatusOr<JsonConfig> json = JsonConfig::FromText(line, file);
    if (!json.ok()) continue;  // a line that a killed run left unfinished
    if (!judge.empty() && json->GetString("judge", "").value_or("") != judge) continue;
    identities.insert(json->GetString("identity", "").value_or(""));
  }
  return identities;
}

// What a killed run left unfinished gets an end, so that the next line stands alone.
absl::Status EndLastLine(const std::string& file) {
  std::ifstream in(file, std::ios::binary | std::ios::ate);
  if (!in || in.tellg() == std::streampos(0)) return absl::OkStatus();
  in.seekg(-1, std::ios::end);
  if (in.get() == '\n') return absl::OkStatus();
  std::ofstream out(file, std::ios::app);
  out << "\n";
  out.close();
  return out ? absl::OkStatus() : absl::UnavailableError(file + ": cannot be written");
}

absl::Status Stopped() {
  return absl::CancelledError("stopped; the same command goes on from there");
}

}  // namespace

EvalRun::EvalRun(const EvalOptions& options, const DiffusionModel& model, Subjects subjects,
                 const FeedbackModule* silent, const std::atomic<bool>& stop)
    : options_(options),
      model_(model),
      subjects_(std::move(subjects)),
      stop_(stop),
      side_(static_cast<int>(model.transformer().config().sample_size *
                             model.autoencoder().config().downscale())),
      evaluator_(model, silent, options.batch),
      sheet_(options, evaluator_) {}

absl::Status EvalRun::Run(const std::vector<Cell>& cells, const EvalWeights& weights) {
  ILF_RETURN_IF_ERROR(CheckSheetFits(options_, cells, side_));
  std::optional<NeighbourReport> neighbours;
  if (!options_.neighbours.empty()) {
    ILF_ASSIGN_OR_RETURN(neighbours, NeighbourReport::Create(options_, side_));
  }
  if (!options_.classifier.empty()) ILF_RETURN_IF_ERROR(LoadJudge());
  ILF_RETURN_IF_ERROR(EndLastLine(options_.out));
  const std::set<std::string> measured = Measured(options_.out, judge_);
  for (const double guidance : options_.guidance_scales) {
    ILF_RETURN_IF_ERROR(RunGuidance(guidance, cells, weights, measured));
  }
  if (!options_.sheet.empty()) ILF_RETURN_IF_ERROR(sheet_.Write());
  if (!neighbours) return absl::OkStatus();
  return neighbours->Run(model_, evaluator_, classifier_ ? &*classifier_ : nullptr, stop_);
}

absl::Status EvalRun::LoadJudge() {
  ILF_ASSIGN_OR_RETURN(
      classifier_, ImageClassifier::LoadDirectory(options_.classifier, model_.execution().device));
  if (classifier_->config().image_size != side_) {
    return absl::InvalidArgumentError(absl::StrCat("--classifier knows pictures of side ",
                                                   classifier_->config().image_size,
                                                   ", the model's have ", side_));
  }
  ILF_ASSIGN_OR_RETURN(const ImageFolder real, ImageFolder::Open(options_.real, side_));
  ILF_ASSIGN_OR_RETURN(
      real_,
      FolderStatistics(*classifier_, real, std::numeric_limits<int64_t>::max(), options_.batch));
  ILF_ASSIGN_OR_RETURN(const std::string weights,
                       ImageClassifier::DirectorySha256(options_.classifier));
  ILF_ASSIGN_OR_RETURN(judge_,
                       Sha256(absl::StrCat(weights, " ", real.size(), " ", options_.fid_images)));
  judge_.resize(kIdentityDigits);
  if (options_.training.empty()) return absl::OkStatus();
  // What a perfect model would reach with as many pictures.
  ILF_ASSIGN_OR_RETURN(const ImageFolder trained_on, ImageFolder::Open(options_.training, side_));
  ILF_ASSIGN_OR_RETURN(
      const FeatureStatistics training,
      FolderStatistics(*classifier_, trained_on, options_.fid_images, options_.batch));
  absl::PrintF("{\"real_pictures\": \"%s\", \"fid\": %.4f}\n", options_.training,
               FrechetDistance(training, real_));
  return absl::OkStatus();
}

absl::StatusOr<Reference> EvalRun::Solve(double guidance, const std::string& key) const {
  const double last = model_.schedule().num_train_timesteps() - 1;
  return SolveReference(
      {&model_.transformer()}, model_.schedule(), {last},
      {.images = options_.images,
       .first_seed = options_.FirstReferenceSeed(),
       .guidance_scales = {guidance},
       .subjects = subjects_,
       .min_steps = options_.reference_steps,
       .batch = options_.batch,
       .device = model_.execution().device},
      absl::StrFormat("%s.reference_%g_%d.safetensors", options_.out, guidance, options_.seed), key,
      stop_);
}

absl::StatusOr<std::string> EvalRun::IdentityOf(const Cell& cell, double guidance,
                                                const EvalWeights& weights) const {
  ILF_ASSIGN_OR_RETURN(const StepPlan plan, MakeFeedbackStepPlan(cell.schedule, cell.plan));
  std::string text = absl::StrCat(
      cell.name, " ", guidance, " ", options_.seed, " ", options_.images, " ",
      options_.reference_steps, " ", c10::toString(model_.execution().dtype), " ", weights.backbone,
      " ", weights.autoencoder, " ", subjects_.key, " ", model_.execution().device.str());
  if (!cell.plan.feedback.empty()) absl::StrAppend(&text, " ", weights.feedback);
  for (const PlannedStep& step : plan.steps) {
    const double target = step.pass == PassKind::kFeedback ? step.target_timestep : -1.0;
    absl::StrAppend(&text, "\n", step.timestep, " ", step.a, " ", step.b, " ", step.c, " ", target);
  }
  ILF_ASSIGN_OR_RETURN(const std::string hash, Sha256(text));
  return hash.substr(0, kIdentityDigits);
}

absl::Status EvalRun::RunGuidance(double guidance, const std::vector<Cell>& cells,
                                  const EvalWeights& weights,
                                  const std::set<std::string>& measured) {
  std::vector<Pending> missing;
  for (const Cell& cell : cells) {
    if (!Covers(cell, guidance)) continue;
    ILF_ASSIGN_OR_RETURN(std::string identity, IdentityOf(cell, guidance, weights));
    if (!measured.contains(identity)) missing.push_back({&cell, std::move(identity)});
  }
  if (!options_.pictures.empty()) {
    ILF_RETURN_IF_ERROR(WritePictures(guidance, cells, weights));
  }
  if (missing.empty() && options_.sheet.empty()) return absl::OkStatus();
  ILF_ASSIGN_OR_RETURN(const Reference reference, Solve(guidance, weights.backbone));
  const at::Tensor pictures = evaluator_.Decode(reference.final_latents());
  const Reference judged = classifier_ ? Judged(guidance) : Reference();
  for (const Pending& pending : missing) {
    if (stop_) return Stopped();
    ILF_RETURN_IF_ERROR(Measure(pending, guidance, reference, pictures, judged));
  }
  if (stop_) return Stopped();
  return options_.sheet.empty() ? absl::OkStatus() : sheet_.Add(guidance, cells, reference);
}

Reference EvalRun::Judged(double guidance) const {
  return UnsolvedReference(model_.transformer().config(), {.images = options_.fid_images,
                                                           .first_seed = options_.FirstJudgedSeed(),
                                                           .guidance_scales = {guidance}});
}

absl::Status EvalRun::WritePictures(double guidance, const std::vector<Cell>& cells,
                                    const EvalWeights& weights) const {
  const Reference judged = Judged(guidance);
  for (const Cell& cell : cells) {
    if (!Covers(cell, guidance)) continue;
    ILF_ASSIGN_OR_RETURN(const std::string identity, IdentityOf(cell, guidance, weights));
    std::string folder = absl::StrCat(options_.pictures, "/", cell.name);
    if (options_.guidance_scales.size() > 1) {
      absl::StrAppendFormat(&folder, ", guidance %g", guidance);
    }
    ILF_RETURN_IF_ERROR(WriteCellPictures(evaluator_, cell, judged, folder,
                                          absl::StrCat(identity, " ", options_.fid_images), stop_));
  }
  return absl::OkStatus();
}

absl::Status EvalRun::Measure(const Pending& pending, double guidance, const Reference& reference,
                              const at::Tensor& pictures, const Reference& judged) const {
  const Cell& cell = *pending.cell;
  ILF_ASSIGN_OR_RETURN(const Measurement m, evaluator_.Compare(cell, reference, pictures));
  std::string line = absl::StrFormat(
      "{\"cell\": \"%s\", \"guidance\": %g, \"seed\": %d, \"steps\": %d, \"block_evaluations\": "
      "%g, \"seconds\": %.6f, \"rmse\": %.6f, \"median_rmse\": %.6f, \"latent_rmse\": %.6f, "
      "\"identity\": \"%s\"",
      cell.name, guidance, options_.seed, cell.plan.steps, m.block_evaluations, m.seconds, m.rmse,
      m.median_rmse, m.latent_rmse, pending.identity);
  if (classifier_) {
    ILF_ASSIGN_OR_RETURN(const PictureQuality quality,
                         evaluator_.Judge(cell, judged, *classifier_, real_, stop_));
    absl::StrAppendFormat(
        &line, ", \"fid\": %.4f, \"accuracy\": %.4f, \"fid_images\": %d, \"judge\": \"%s\"",
        quality.fid, quality.accuracy, options_.fid_images, judge_);
  }
  line += "}\n";
  std::fputs(line.c_str(), stdout);
  std::fflush(stdout);
  std::ofstream out(options_.out, std::ios::app);
  out << line;
  out.close();
  return out ? absl::OkStatus() : absl::UnavailableError(options_.out + ": cannot be written");
}

}  // namespace ilf
