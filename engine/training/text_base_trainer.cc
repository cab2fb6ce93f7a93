#include "engine/training/text_base_trainer.h"

#include <filesystem>
#include <memory>
#include <utility>
#include <vector>

#include <ATen/CPUGeneratorImpl.h>
#include <torch/types.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "engine/base/status_macros.h"
#include "engine/checkpoint/state_dict.h"
#include "engine/model/autoencoder_kl.h"
#include "engine/model/t5_encoder.h"
#include "engine/model/transformer.h"
#include "engine/pipeline/denoiser.h"
#include "engine/sampling/solver.h"
#include "engine/text/prompt.h"
#include "engine/text/tokenizer.h"
#include "engine/training/diffusers_writer.h"
#include "engine/training/image_folder.h"
#include "engine/training/initial_weights.h"
#include "engine/training/latent_cache.h"
#include "engine/training/noise_loss.h"
#include "engine/training/sheet.h"

namespace ilf {
namespace {

constexpr int64_t kMaxTokens = 300;  // as PixArt-Sigma's pipeline cuts prompts
constexpr double kTransformerNormEps = 1e-6;
constexpr int kSheetSteps = 20;
constexpr int64_t kSheetSamples = 7;
constexpr int64_t kSheetPictures = 16;
constexpr char kTransformerPrefix[] = "transformer.";
constexpr char kTextEncoderPrefix[] = "text_encoder.";

// Transformer and text encoder, which learn as one set of parameters.
struct TextModel {
  Transformer transformer;
  T5Encoder text_encoder;

  // The prompts `ids` as the transformer reads them, one a row.
  std::shared_ptr<const PromptContext> Read(const std::vector<at::Tensor>& ids) const {
    const std::vector<at::Tensor> states = text_encoder(ids);
    std::vector<at::Tensor> ones;
    for (const at::Tensor& state : states) ones.push_back(at::ones({state.size(0)}));
    const at::Tensor mask = at::pad_sequence(ones, /*batch_first=*/true).to(at::kBool);
    return std::make_shared<PromptContext>(transformer.ReadPrompt(
        at::pad_sequence(states, /*batch_first=*/true), mask.to(states[0].device())));
  }
};

NamedTensors WithPrefix(const NamedTensors& tensors, const std::string& prefix) {
  NamedTensors result;
  for (const auto& [name, tensor] : tensors) result[prefix + name] = tensor;
  return result;
}

// Those whose name starts with `prefix`, without it.
NamedTensors Part(const NamedTensors& tensors, const std::string& prefix) {
  NamedTensors part;
  for (const auto& [name, tensor] : tensors) {
    if (name.starts_with(prefix)) part[name.substr(prefix.size())] = tensor;
  }
  return part;
}

// Everything that a run knows; the training task's functions are its methods.
class TextBaseTraining {
 public:
  explicit TextBaseTraining(const TextBaseTrainingOptions& options) : options_(options) {}

  absl::Status Prepare();
  absl::Status Run(const std::atomic<bool>& stop);

 private:
  absl::Status ReadCaptions(const ImageFolder& folder);
  absl::StatusOr<at::Tensor> Tokens(const std::string& caption) const;
  absl::StatusOr<NamedTensors> InitialWeights() const;
  absl::StatusOr<TextModel> MakeModel(const NamedTensors& weights) const;
  at::Tensor Loss(const TextModel& model, int64_t share, const at::Generator& random) const;
  absl::Status WriteSamples(const TextModel& model, const std::string& file) const;
  absl::Status Write(int64_t step, const NamedTensors& averaged) const;

  const BaseTrainingOptions& base() const { return options_.base; }
  c10::Device device() const { return base().loop.device; }

  const TextBaseTrainingOptions& options_;
  std::optional<Tokenizer> tokenizer_;
  std::optional<AutoencoderKl> autoencoder_;
  std::optional<NoiseSchedule> schedule_;
  TransformerConfig config_;
  T5Config text_config_;
  at::Tensor latents_;                             // [pictures, channels, h, w]
  std::vector<int64_t> pass_;                      // as ImageFolder's
  std::vector<std::vector<at::Tensor>> captions_;  // by picture, ids of each
  std::vector<std::string> names_;                 // by picture, its first caption
  at::Tensor null_caption_;                        // ids of the empty prompt
};

absl::StatusOr<at::Tensor> TextBaseTraining::Tokens(const std::string& caption) const {
  ILF_ASSIGN_OR_RETURN(const std::string clean, CleanPrompt(caption));
  ILF_ASSIGN_OR_RETURN(const std::vector<int64_t> ids, tokenizer_->Encode(clean, kMaxTokens));
  return at::tensor(ids);
}

absl::Status TextBaseTraining::ReadCaptions(const ImageFolder& folder) {
  ILF_ASSIGN_OR_RETURN(null_caption_, Tokens(""));
  for (const std::vector<std::string>& texts : folder.captions()) {
    if (texts.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat(base().data, "/metadata.jsonl: picture ", captions_.size(),
                       " has no \"text\", which a text-conditional model needs"));
    }
    std::vector<at::Tensor>& ids = captions_.emplace_back();
    for (const std::string& text : texts) {
      ILF_ASSIGN_OR_RETURN(ids.emplace_back(), Tokens(text));
    }
    names_.push_back(texts[0]);
  }
  return absl::OkStatus();
}

absl::Status TextBaseTraining::Prepare() {
  const std::string& output = base().loop.output;
  ILF_ASSIGN_OR_RETURN(tokenizer_, Tokenizer::Load(options_.tokenizer));
  ILF_ASSIGN_OR_RETURN(autoencoder_, LoadAutoencoder(output, device()));
  ILF_ASSIGN_OR_RETURN(const ImageFolder folder,
                       ImageFolder::Open(base().data, static_cast<int>(base().image_size)));
  ILF_RETURN_IF_ERROR(ReadCaptions(folder));
  ILF_ASSIGN_OR_RETURN(const LatentData data, LoadLatents(base().data, base().image_size, output,
                                                          *autoencoder_, device()));
  latents_ = data.latents;
  pass_ = data.pass;
  text_config_ = options_.text_encoder;
  text_config_.vocab_size = tokenizer_->vocab_size();
  config_ = base().config;
  config_.architecture = Architecture::kPixArt;
  config_.in_channels = config_.out_channels = latents_.size(1);
  config_.sample_size = latents_.size(2);
  config_.norm_eps = kTransformerNormEps;
  config_.num_classes = 0;
  config_.caption_channels = text_config_.d_model;
  config_.cross_attention_dim = config_.dim();
  config_.micro_conditions = false;
  if (config_.sample_size % config_.patch_size != 0) {
    return absl::InvalidArgumentError(absl::StrCat("latents have side ", config_.sample_size,
                                                   ", not a multiple of patch size ",
                                                   config_.patch_size));
  }
  ILF_ASSIGN_OR_RETURN(schedule_,
                       NoiseSchedule::Create(DefaultConfigOf(SolverKind::kDpmSolverPp2m)));
  std::error_code error;
  std::filesystem::copy(
      options_.tokenizer, output + "/tokenizer",
      std::filesystem::copy_options::recursive | std::filesystem::copy_options::overwrite_existing,
      error);
  if (error) {
    return absl::InvalidArgumentError(
        absl::StrCat(output, "/tokenizer: cannot be written: ", error.message()));
  }
  return absl::OkStatus();
}

absl::StatusOr<NamedTensors> TextBaseTraining::InitialWeights() const {
  const at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(base().loop.seed);
  NamedTensors transformer = InitialTransformer(config_, generator);
  NamedTensors text_encoder = InitialT5(text_config_, generator);
  if (const std::string& model = base().initial_model; !model.empty()) {
    ILF_RETURN_IF_ERROR(
        TakeWeights(model + "/transformer", "diffusion_pytorch_model", transformer));
    ILF_RETURN_IF_ERROR(TakeWeights(model + "/text_encoder", "model", text_encoder));
  }
  NamedTensors initial = WithPrefix(transformer, kTransformerPrefix);
  initial.merge(WithPrefix(text_encoder, kTextEncoderPrefix));
  return initial;
}

absl::StatusOr<TextModel> TextBaseTraining::MakeModel(const NamedTensors& weights) const {
  const Execution execution = {.device = device(), .trainable = true};
  StateDict transformer_weights(Part(weights, kTransformerPrefix), "transformer weights");
  StateDict text_weights(Part(weights, kTextEncoderPrefix), "text encoder weights");
  ILF_ASSIGN_OR_RETURN(Transformer transformer,
                       Transformer::Load(config_, transformer_weights, execution));
  ILF_ASSIGN_OR_RETURN(T5Encoder text_encoder,
                       T5Encoder::Load(text_config_, text_weights, execution));
  return TextModel{std::move(transformer), std::move(text_encoder)};
}

at::Tensor TextBaseTraining::Loss(const TextModel& model, int64_t share,
                                  const at::Generator& random) const {
  const int64_t count = base().loop.share_size();
  const std::vector<int64_t> indices =
      BatchIndices(pass_, count, share, base().loop.seed);
  const at::Tensor dropped = at::rand({count}, random) < base().label_dropout;
  const at::Tensor choices = at::rand({count}, random, at::kDouble);
  std::vector<at::Tensor> ids;
  for (int64_t i = 0; i < count; ++i) {
    const std::vector<at::Tensor>& texts = captions_[indices[i]];
    const size_t choice = static_cast<size_t>(choices[i].item<double>() * texts.size());
    ids.push_back(dropped[i].item<bool>() ? null_caption_ : texts[choice]);
  }
  const NoiseLevels levels = NoiseLevelsOf(*schedule_, base().weighting, device());
  return NoiseLoss(model.transformer, levels,
                   latents_.index_select(0, at::tensor(indices)).to(device()),
                   RowConditions(PromptRows(model.Read(ids))), random);
}

// Evenly spaced pictures of the folder, each before samples of its first caption.
absl::Status TextBaseTraining::WriteSamples(const TextModel& model, const std::string& file) const {
  at::NoGradGuard no_grad;
  ILF_ASSIGN_OR_RETURN(const StepPlan plan,
                       MakeStepPlan(*schedule_, SolverKind::kDpmSolverPp2m, kSheetSteps));
  const Denoiser denoiser = {&model.transformer};
  const auto read = [&](const at::Tensor& ids) {
    return std::make_shared<PromptContext>(
        denoiser.ReadPrompt(model.text_encoder({ids})[0].unsqueeze(0)));
  };
  const auto null_prompt = read(null_caption_);
  const int64_t count = std::min<int64_t>(kSheetPictures, latents_.size(0));
  std::vector<Trajectory> images;
  std::vector<std::string> labels;
  for (int64_t row = 0; row < count; ++row) {
    const int64_t picture = row * latents_.size(0) / count;
    labels.push_back(names_[picture]);
    ImageCondition condition;
    condition.prompt = read(captions_[picture][0]);
    condition.negative_prompt = null_prompt;
    for (int64_t i = 0; i < kSheetSamples; ++i) {
      const at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(i);
      const at::Tensor noise =
          at::randn({1, config_.in_channels, config_.sample_size, config_.sample_size}, generator);
      images.push_back(
          StartTrajectory(plan, noise.to(device()), condition, base().sheet_guidance_scale));
    }
  }
  std::vector<Trajectory*> pointers;
  for (Trajectory& image : images) pointers.push_back(&image);
  for (int step = 0; step < kSheetSteps; ++step) StepTogether(denoiser, pointers);
  std::vector<at::Tensor> pictures;
  for (size_t i = 0; i < images.size(); ++i) {
    if (i % kSheetSamples == 0) {
      const int64_t picture = static_cast<int64_t>(i) / kSheetSamples * latents_.size(0) / count;
      pictures.push_back(autoencoder_->DecodeScaled(latents_.narrow(0, picture, 1).to(device())));
    }
    pictures.push_back(autoencoder_->DecodeScaled(images[i].x));
  }
  return WriteSheet(at::cat(pictures), kSheetSamples + 1, file, labels);
}

absl::Status TextBaseTraining::Write(int64_t step, const NamedTensors& averaged) const {
  ILF_ASSIGN_OR_RETURN(const TextModel average, MakeModel(averaged));
  const std::string& output = base().loop.output;
  ILF_RETURN_IF_ERROR(
      WriteSamples(average, absl::StrFormat("%s/training/base/step_%08d.png", output, step)));
  return WritePixArt(output, config_, text_config_,
                     {Part(averaged, kTransformerPrefix), Part(averaged, kTextEncoderPrefix)},
                     base().save_dtype);
}

absl::Status TextBaseTraining::Run(const std::atomic<bool>& stop) {
  TrainingOptions loop = base().loop;
  loop.output += "/training/base";
  ILF_ASSIGN_OR_RETURN(const NamedTensors initial, InitialWeights());
  ParameterSet parameters(initial, loop.device);
  ILF_ASSIGN_OR_RETURN(const TextModel model, MakeModel(parameters.weights()));
  absl::FPrintF(stderr, "base: %d parameters, %d tokens, %d pictures, a vocabulary of %d\n",
                parameters.size(), config_.tokens(), latents_.size(0), text_config_.vocab_size);
  TrainingTask task;
  task.name = "base";
  task.loss = [&](int64_t share, const at::Generator& random) {
    return Loss(model, share, random);
  };
  task.write = [&](int64_t step, const NamedTensors& averaged) { return Write(step, averaged); };
  return RunTraining(task, loop, parameters, stop);
}

}  // namespace

absl::Status TrainTextBase(const TextBaseTrainingOptions& options, const std::atomic<bool>& stop) {
  TextBaseTraining training(options);
  ILF_RETURN_IF_ERROR(training.Prepare());
  return training.Run(stop);
}

}  // namespace ilf
