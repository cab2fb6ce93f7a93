#include "engine/training/feedback_trainer.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>
#include <memory>
#include <utility>
#include <vector>

#include <torch/types.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "engine/base/status_macros.h"
#include "engine/checkpoint/file_hash.h"
#include "engine/pipeline/feedback.h"
#include "engine/training/feedback_lesson.h"
#include "engine/training/feedback_writer.h"
#include "engine/training/image_folder.h"
#include "engine/training/latent_cache.h"
#include "engine/training/plan_fit.h"
#include "engine/training/reference.h"

namespace ilf {
namespace {

// Of the frozen blocks.
at::ScalarType DtypeOf(const FeedbackTrainingOptions& options) {
  return options.bf16_backbone ? at::kBFloat16 : at::kFloat;
}

// What the coefficients of plan `plan` have learned, [steps, 3], among the parameters.
std::string DeltasName(size_t plan) { return absl::StrCat("coefficients.", plan); }

NamedTensors WithDeltas(NamedTensors weights, const std::vector<CalibratedPlan>& plans) {
  for (size_t i = 0; i < plans.size(); ++i) {
    if (!plans[i].plan.coefficients.empty()) {
      weights[DeltasName(i)] = at::zeros({plans[i].plan.steps, 3});
    }
  }
  return weights;
}

// Everything that a run knows; the training task's functions are its methods.
class FeedbackTraining {
 public:
  FeedbackTraining(const FeedbackTrainingOptions& options, const Backbone& backbone, Lesson lesson,
                   NamedTensors initial)
      : options_(options),
        backbone_(backbone),
        config_(lesson.config),
        plans_(std::move(lesson.plans)),
        training_(std::move(lesson.training)),
        validation_(std::move(lesson.validation)),
        run_({.device = options.loop.device}),
        folder_(FeedbackFolderOf(options)),
        initial_(std::move(initial)),
        parameters_(WithDeltas(initial_, plans_), options.loop.device) {}

  absl::Status Prepare();
  absl::Status Run(const std::atomic<bool>& stop);

 private:
  absl::StatusOr<FeedbackModule> MakeModule(const NamedTensors& weights) const;
  absl::StatusOr<at::Tensor> Loss(int64_t share, const at::Generator& random) const;
  absl::Status WeighPlans();
  absl::Status Validate(int64_t step, const NamedTensors& averaged);
  NamedTensors ModuleWeights(const NamedTensors& weights) const;
  at::Tensor Coefficients(const NamedTensors& weights, size_t plan) const;
  absl::StatusOr<std::vector<CalibratedPlan>> LearnedPlans(const NamedTensors& weights) const;
  double Error(const at::Tensor& latents, const at::Tensor& reference) const;
  absl::StatusOr<double> Measure(const Denoiser& denoiser, const std::vector<CalibratedPlan>& plans,
                                 std::vector<double>& rmse) const;
  bool MeasuresPictures() const {
    return options_.states == FeedbackStates::kSampler && options_.loss == SamplerLoss::kPictures;
  }
  const char* Measured() const { return MeasuresPictures() ? "pictures" : "latents"; }
  absl::StatusOr<std::string> Identity() const;
  std::string ValidationLog() const { return folder_ + "/validation.jsonl"; }

  const FeedbackTrainingOptions& options_;
  const Backbone& backbone_;
  const FeedbackConfig config_;
  const std::vector<CalibratedPlan> plans_;
  const std::vector<Reference> training_;    // by plan, with kSampler
  const std::vector<Reference> validation_;  // by plan
  const PlanRunOptions run_;
  const std::string folder_;
  const NamedTensors initial_;
  ParameterSet parameters_;
  LatentData data_;                           // with kImages
  Subjects data_subjects_;                    // with kImages, by picture
  std::optional<AutoencoderKl> autoencoder_;  // with kImages, and with kPictures
  std::vector<double> plan_weights_;          // of the losses, with kSampler
  double best_ = std::numeric_limits<double>::infinity();
  int since_best_ = 0;
};

// What the optimizer sees becomes the module's weights: the scales learn faster than the rest where
// it sees them smaller than they are.
NamedTensors FeedbackTraining::ModuleWeights(const NamedTensors& weights) const {
  NamedTensors module;
  for (const auto& [name, tensor] : weights) {
    if (initial_.contains(name)) module[name] = tensor;
  }
  module["scales"] = weights.at("scales") * options_.scale_gain;
  return module;
}

absl::StatusOr<FeedbackModule> FeedbackTraining::MakeModule(const NamedTensors& weights) const {
  StateDict tensors(ModuleWeights(weights), "feedback weights");
  return FeedbackModule::Load(config_, backbone_.transformer.config(), tensors,
                              {.device = options_.loop.device, .trainable = true});
}

// The least measure, of what the run looks at, that an earlier part of it has logged.
double BestSoFar(const std::string& log, absl::string_view measured) {
  double best = std::numeric_limits<double>::infinity();
  std::ifstream lines(log);
  for (std::string line; std::getline(lines, line);) {
    const absl::StatusOr<JsonConfig> json = JsonConfig::FromText(line, log);
    if (!json.ok() || json->GetString("of", "").value_or("") != measured) continue;
    best = std::min(best, json->GetDouble("measure").value_or(best));
  }
  return best;
}

absl::Status FeedbackTraining::Prepare() {
  if (options_.loop.resume) {
    best_ = BestSoFar(ValidationLog(), Measured());
  } else {
    std::error_code error;
    std::filesystem::remove(ValidationLog(), error);
  }
  const bool sampler = options_.states == FeedbackStates::kSampler;
  if (!sampler || MeasuresPictures()) {
    ILF_ASSIGN_OR_RETURN(autoencoder_, LoadAutoencoder(options_.loop.output, options_.loop.device));
  }
  if (sampler) return WeighPlans();
  const int64_t side =
      backbone_.transformer.config().sample_size * autoencoder_->config().downscale();
  ILF_ASSIGN_OR_RETURN(data_, LoadLatents(options_.data, side, options_.loop.output, *autoencoder_,
                                          options_.loop.device));
  ILF_ASSIGN_OR_RETURN(const ImageFolder folder,
                       ImageFolder::Open(options_.data, static_cast<int>(side)));
  ILF_ASSIGN_OR_RETURN(data_subjects_,
                       SubjectsOf(options_.loop.output, folder, {.device = options_.loop.device}));
  return absl::OkStatus();
}

absl::StatusOr<at::Tensor> FeedbackTraining::Loss(int64_t share,
                                                  const at::Generator& random) const {
  ILF_ASSIGN_OR_RETURN(const FeedbackModule module, MakeModule(parameters_.weights()));
  const Denoiser student = {&backbone_.transformer, &module};
  const int64_t count = static_cast<int64_t>(plans_.size());
  const size_t plan = static_cast<size_t>(share % count);  // plans take turns
  const bool pictures = options_.states == FeedbackStates::kImages;
  const int64_t size = pictures ? data_.latents.size(0) : training_[plan].images();
  const std::vector<int64_t> indices =
      BatchIndices(size, options_.loop.share_size(), share / count, options_.loop.seed);
  if (!pictures) {
    return plan_weights_[plan] *
           LossOnSampler(student, plans_[plan].steps, Coefficients(parameters_.weights(), plan),
                         training_[plan].Select(indices), options_.loss,
                         autoencoder_ ? &*autoencoder_ : nullptr);
  }
  const c10::Device device = options_.loop.device;
  const at::Tensor clean = data_.latents.index_select(0, at::tensor(indices));
  std::vector<Subject> subjects;
  for (const int64_t index : indices) subjects.push_back(data_subjects_.all[index]);
  return LossOnImages(student, backbone_.schedule, plans_[plan],
                      {clean.to(device), at::randn(clean.sizes(), random).to(device),
                       std::move(subjects), data_subjects_.no_prompt},
                      options_.teacher);
}

// What the sampler multiplies with under plan `plan`, [steps, 3].
at::Tensor FeedbackTraining::Coefficients(const NamedTensors& weights, size_t plan) const {
  const at::Tensor start = CoefficientsOf(plans_[plan].steps).to(options_.loop.device);
  const auto deltas = weights.find(DeltasName(plan));
  return deltas == weights.end() ? start : start + deltas->second * options_.coefficient_gain;
}

// The plans with the coefficients that `weights` have learned.
absl::StatusOr<std::vector<CalibratedPlan>> FeedbackTraining::LearnedPlans(
    const NamedTensors& weights) const {
  at::NoGradGuard no_grad;
  std::vector<CalibratedPlan> plans = plans_;
  for (size_t i = 0; i < plans.size(); ++i) {
    if (!weights.contains(DeltasName(i))) continue;
    const at::Tensor learned = Coefficients(weights, i).to(at::kCPU, at::kDouble);
    for (int64_t step = 0; step < learned.size(0); ++step) {
      const double* row = learned[step].data_ptr<double>();
      plans[i].plan.coefficients[step] = {row[0], row[1], step == 0 ? 0.0 : row[2]};
    }
    ILF_ASSIGN_OR_RETURN(plans[i].steps, MakeFeedbackStepPlan(backbone_.schedule, plans[i].plan));
  }
  return plans;
}

// RMSE of what the loss looks at: latents, or with kPictures the pictures.
double FeedbackTraining::Error(const at::Tensor& latents, const at::Tensor& reference) const {
  if (!MeasuresPictures()) return Rmse(latents, reference);
  at::NoGradGuard no_grad;
  const c10::Device device = options_.loop.device;
  return Rmse(autoencoder_->DecodeScaled(latents.to(device)),
              autoencoder_->DecodeScaled(reference.to(device)));
}

// The RMSE of every plan, and their geometric mean.
absl::StatusOr<double> FeedbackTraining::Measure(const Denoiser& denoiser,
                                                 const std::vector<CalibratedPlan>& plans,
                                                 std::vector<double>& rmse) const {
  double log_sum = 0.0;
  for (size_t i = 0; i < plans.size(); ++i) {
    ILF_ASSIGN_OR_RETURN(const at::Tensor latents, RunPlan(denoiser, backbone_.schedule,
                                                           plans[i].plan, validation_[i], run_));
    rmse.push_back(Error(latents, validation_[i].final_latents()));
    log_sum += std::log(std::max(rmse.back(), 1e-12));
  }
  return std::exp(log_sum / static_cast<double>(rmse.size()));
}

// A plan of few steps errs most: unweighted, the others would learn little beside it. Every loss is
// relative to the square error that its plan starts with.
absl::Status FeedbackTraining::WeighPlans() {
  ILF_ASSIGN_OR_RETURN(const FeedbackModule module, MakeModule(parameters_.weights()));
  std::vector<double> rmse;
  ILF_RETURN_IF_ERROR(Measure({&backbone_.transformer, &module}, plans_, rmse).status());
  for (const double error : rmse) plan_weights_.push_back(1.0 / std::max(error * error, 1e-24));
  absl::FPrintF(stderr, "before training: RMSE %s\n", absl::StrJoin(rmse, ", "));
  return absl::OkStatus();
}

absl::Status FeedbackTraining::Validate(int64_t step, const NamedTensors& averaged) {
  ILF_ASSIGN_OR_RETURN(const FeedbackModule module, MakeModule(averaged));
  const Denoiser denoiser = {&backbone_.transformer, &module};
  ILF_ASSIGN_OR_RETURN(const std::vector<CalibratedPlan> plans, LearnedPlans(averaged));
  std::vector<double> rmse;
  ILF_ASSIGN_OR_RETURN(const double measure, Measure(denoiser, plans, rmse));
  const bool is_best = measure < best_;
  std::ofstream log(ValidationLog(), std::ios::app);
  log << absl::StrFormat(
      "{\"step\": %d, \"of\": \"%s\", \"rmse\": [%s], \"measure\": %.6f, \"best\": %s}\n", step,
      Measured(), absl::StrJoin(rmse, ", "), measure, is_best ? "true" : "false");
  absl::FPrintF(stderr, "validation at step %d: RMSE %s%s\n", step, absl::StrJoin(rmse, ", "),
                is_best ? ", the best so far" : "");
  since_best_ = is_best ? 0 : since_best_ + 1;
  if (!is_best) return absl::OkStatus();
  best_ = measure;
  return WriteFeedback(options_.loop.output, backbone_.sha256, config_, plans,
                       ModuleWeights(averaged), options_.save_dtype);
}

// Of what its checkpoint stands on: weights that learned something else, or that mean something
// else, cannot be gone on from.
absl::StatusOr<std::string> FeedbackTraining::Identity() const {
  return Sha256(absl::StrCat(backbone_.sha256, FeedbackConfigText(config_, plans_),
                             options_.scale_gain, " ", options_.coefficient_gain));
}

absl::Status FeedbackTraining::Run(const std::atomic<bool>& stop) {
  TrainingOptions loop = options_.loop;
  loop.output = folder_;
  loop.bf16 = false;  // the backbone has its own dtype; the one block that learns stays in float32
  absl::FPrintF(stderr, "feedback: %d parameters, blocks %d to %d run again, %d plans\n",
                parameters_.size(), config_.inner.begin, config_.inner.end - 1, plans_.size());
  TrainingTask task;
  task.name = "feedback";
  ILF_ASSIGN_OR_RETURN(task.run, Identity());
  task.loss = [this](int64_t share, const at::Generator& random) { return Loss(share, random); };
  task.write = [this](int64_t step, const NamedTensors& averaged) {
    return Validate(step, averaged);
  };
  task.converged = [this] { return options_.patience > 0 && since_best_ >= options_.patience; };
  return RunTraining(task, loop, parameters_, stop);
}

}  // namespace

absl::Status TrainFeedback(const FeedbackTrainingOptions& options, const std::atomic<bool>& stop) {
  if (options.states == FeedbackStates::kImages && options.data.empty()) {
    return absl::InvalidArgumentError("states of images need an image folder (--data)");
  }
  ILF_ASSIGN_OR_RETURN(Lesson lesson, PrepareLesson(options, DtypeOf(options), stop));
  ILF_ASSIGN_OR_RETURN(const Backbone backbone,
                       LoadBackbone(options, {.device = options.loop.device,
                                              .dtype = DtypeOf(options),
                                              .batch_invariant = false,
                                              .differentiable = true}));
  ILF_ASSIGN_OR_RETURN(NamedTensors initial,
                       InitialWeights(options, lesson.config, backbone.transformer.config()));
  FeedbackTraining training(options, backbone, std::move(lesson), std::move(initial));
  ILF_RETURN_IF_ERROR(training.Prepare());
  return training.Run(stop);
}

}  // namespace ilf
