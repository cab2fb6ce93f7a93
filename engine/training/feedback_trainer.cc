#include "engine/training/feedback_trainer.h"

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include <torch/types.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "engine/base/status_macros.h"
#include "engine/checkpoint/file_hash.h"
#include "engine/pipeline/feedback.h"
#include "engine/training/feature_pull.h"
#include "engine/training/feedback_lesson.h"
#include "engine/training/feedback_validation.h"
#include "engine/training/feedback_writer.h"
#include "engine/training/image_folder.h"
#include "engine/training/latent_cache.h"
#include "engine/training/reference.h"

namespace ilf {
namespace {

constexpr double kLeastSquare = 1e-24;  // what losses are divided by, at least

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
        held_out_(std::move(lesson.validation)),
        folder_(FeedbackFolderOf(options)),
        initial_(std::move(initial)),
        parameters_(WithDeltas(initial_, plans_), options.loop.device) {}

  absl::Status Prepare();
  absl::Status Run(const std::atomic<bool>& stop);

 private:
  absl::StatusOr<FeedbackModule> MakeModule(const NamedTensors& weights) const;
  absl::StatusOr<at::Tensor> Loss(int64_t share, const at::Generator& random) const;
  absl::Status LoadPictures();
  absl::Status Validate(int64_t step, const NamedTensors& averaged);
  NamedTensors ModuleWeights(const NamedTensors& weights) const;
  at::Tensor Coefficients(const NamedTensors& weights, size_t plan) const;
  absl::StatusOr<std::vector<CalibratedPlan>> LearnedPlans(const NamedTensors& weights) const;
  absl::Status LoadFeatures();
  int64_t Side() const;
  bool MeasuresPictures() const {
    return options_.states == FeedbackStates::kSampler && options_.loss == SamplerLoss::kPictures;
  }
  absl::StatusOr<std::string> Identity() const;

  const FeedbackTrainingOptions& options_;
  const Backbone& backbone_;
  const FeedbackConfig config_;
  const std::vector<CalibratedPlan> plans_;
  const std::vector<Reference> training_;  // by plan, with kSampler
  const std::vector<Reference> held_out_;  // by plan
  const std::string folder_;
  const NamedTensors initial_;
  ParameterSet parameters_;
  LatentData data_;                                  // with kImages
  Subjects data_subjects_;                           // with kImages, by picture
  std::optional<AutoencoderKl> autoencoder_;         // with kImages, and with kPictures
  std::optional<RealFeatures> features_;             // with a classifier
  std::vector<std::unique_ptr<FeaturePull>> pulls_;  // by plan, with a classifier
  std::optional<FeedbackValidation> validation_;
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

absl::Status FeedbackTraining::Prepare() {
  const bool images = options_.states == FeedbackStates::kImages;
  if (images || MeasuresPictures()) {
    ILF_ASSIGN_OR_RETURN(autoencoder_, LoadAutoencoder(options_.loop.output, options_.loop.device));
  }
  if (images) ILF_RETURN_IF_ERROR(LoadPictures());
  if (!options_.classifier.empty()) ILF_RETURN_IF_ERROR(LoadFeatures());
  std::vector<const FeaturePull*> pulls;
  for (const auto& pull : pulls_) pulls.push_back(pull.get());
  validation_.emplace(HeldOut{.references = held_out_,
                              .autoencoder = MeasuresPictures() ? &*autoencoder_ : nullptr,
                              .features = features_ ? &*features_ : nullptr,
                              .pulls = std::move(pulls),
                              .feature_weight = options_.feature_weight,
                              .device = options_.loop.device},
                      backbone_.schedule, folder_ + "/validation.jsonl");
  ILF_ASSIGN_OR_RETURN(const FeedbackModule module, MakeModule(parameters_.weights()));
  return validation_->Start({&backbone_.transformer, &module}, plans_, options_.loop.resume,
                            /*learned=*/!options_.initial_model.empty());
}

// The pictures' side, pixels.
int64_t FeedbackTraining::Side() const {
  return backbone_.transformer.config().sample_size * autoencoder_->config().downscale();
}

// What kImages learns from.
absl::Status FeedbackTraining::LoadPictures() {
  ILF_ASSIGN_OR_RETURN(data_, LoadLatents(options_.data, Side(), options_.loop.output,
                                          *autoencoder_, options_.loop.device));
  ILF_ASSIGN_OR_RETURN(const ImageFolder folder,
                       ImageFolder::Open(options_.data, static_cast<int>(Side())));
  ILF_ASSIGN_OR_RETURN(data_subjects_,
                       SubjectsOf(options_.loop.output, folder, {.device = options_.loop.device}));
  return absl::OkStatus();
}

// What pulls at the features of pictures.
absl::Status FeedbackTraining::LoadFeatures() {
  ILF_ASSIGN_OR_RETURN(features_, RealFeatures::Load(options_.classifier, options_.data, Side(),
                                                     options_.loop.device));
  PictureFeatures references;
  for (size_t i = 0; i < plans_.size(); ++i) {
    const at::Tensor latents = training_[i].final_latents();
    if (i == 0 || !at::equal(latents, training_[i - 1].final_latents())) {
      references = features_->OfDecoded(latents, training_[i].guidance_scales, *autoencoder_);
    }
    ILF_ASSIGN_OR_RETURN(pulls_.emplace_back(), FeaturePull::Create(*features_, references));
  }
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
    // A plan of few steps errs most: unweighted, the others would learn little beside it. Every
    // loss is relative to the square error that its plan starts with.
    const PictureEyes eyes = {.autoencoder = autoencoder_ ? &*autoencoder_ : nullptr,
                              .classifier = features_ ? &features_->classifier() : nullptr};
    const SamplerErrors errors =
        ErrorsOnSampler(student, plans_[plan].steps, Coefficients(parameters_.weights(), plan),
                        training_[plan].Select(indices), options_.loss, eyes);
    const PlanErrors& start = validation_->start()[plan];
    const at::Tensor loss = errors.mean_square / std::max(start.rmse * start.rmse, kLeastSquare);
    if (!features_) return loss;
    return loss + options_.feature_weight * pulls_[plan]->Error(share, indices, errors.features);
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

absl::Status FeedbackTraining::Validate(int64_t step, const NamedTensors& averaged) {
  ILF_ASSIGN_OR_RETURN(const FeedbackModule module, MakeModule(averaged));
  const Denoiser denoiser = {&backbone_.transformer, &module};
  ILF_ASSIGN_OR_RETURN(const std::vector<CalibratedPlan> plans, LearnedPlans(averaged));
  ILF_ASSIGN_OR_RETURN(const bool is_best, validation_->Check(step, denoiser, plans));
  if (!is_best) return absl::OkStatus();
  return WriteFeedback(options_.loop.output, backbone_.sha256, config_, plans,
                       ModuleWeights(averaged), options_.save_dtype);
}

// Of what its checkpoint stands on: weights that learned something else, or that mean something
// else, cannot be gone on from.
absl::StatusOr<std::string> FeedbackTraining::Identity() const {
  std::string text = absl::StrCat(backbone_.sha256, FeedbackConfigText(config_, plans_),
                                  options_.scale_gain, " ", options_.coefficient_gain);
  if (options_.states == FeedbackStates::kImages) {
    absl::StrAppend(&text, " images ", static_cast<int>(options_.teacher.target));
  }
  return Sha256(text);
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
  for (size_t i = 0; i < pulls_.size(); ++i) {
    task.buffers[absl::StrCat("features.", i)] = pulls_[i]->shift();
  }
  task.stepped = [this] {
    for (const auto& pull : pulls_) pull->Settle();
  };
  task.write = [this](int64_t step, const NamedTensors& averaged) {
    return Validate(step, averaged);
  };
  task.converged = [this] {
    return options_.patience > 0 && validation_->checks_since_best() >= options_.patience;
  };
  const absl::Status status = RunTraining(task, loop, parameters_, stop);
  if (status.ok() && !validation_->any_best()) {
    absl::FPrintF(stderr,
                  "feedback: no check was as good as the module of %s: %s/feedback is left as it "
                  "was\n",
                  options_.initial_model, options_.loop.output);
  }
  return status;
}

}  // namespace

absl::Status TrainFeedback(const FeedbackTrainingOptions& options, const std::atomic<bool>& stop) {
  if (options.states == FeedbackStates::kImages && options.data.empty()) {
    return absl::InvalidArgumentError("states of images need an image folder (--data)");
  }
  if (!options.classifier.empty()) {
    if (options.states != FeedbackStates::kSampler || options.loss != SamplerLoss::kPictures) {
      return absl::InvalidArgumentError("--classifier needs --states sampler --loss pictures");
    }
    if (options.data.empty()) {
      return absl::InvalidArgumentError(
          "--classifier needs an image folder of real pictures (--data)");
    }
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
