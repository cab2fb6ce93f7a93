// ilf-train: trains the models that ilf-server serves.
#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <exception>
#include <map>
#include <optional>
#include <string>
#include <vector>

#if defined(__GLIBC__)
#include <malloc.h>
#endif

#include <ATen/Parallel.h>
#include <CLI/CLI.hpp>

#include "absl/status/status.h"
#include "engine/base/status_macros.h"
#include "engine/evaluation/classifier_trainer.h"
#include "engine/pipeline/load_models.h"
#include "engine/training/base_trainer.h"
#include "engine/training/feedback_average.h"
#include "engine/training/feedback_trainer.h"
#include "engine/training/text_base_trainer.h"
#include "engine/training/vae_trainer.h"
#include "tools/plan_command.h"

namespace {

constexpr int64_t kMostSteps = 1'000'000'000;

std::atomic<bool> stop_requested{false};

// The first Ctrl-C ends the run with a checkpoint, the second ends it at once.
void RequestStop(int) {
  if (stop_requested.exchange(true)) std::signal(SIGINT, SIG_DFL);
}

struct CommonFlags {
  ilf::TrainingOptions loop;
  std::string data;
  std::string device = "cpu";
  std::string save_dtype = "float16";
  std::optional<bool> bf16;
  int threads = 0;
};

void AddSaveDtype(CLI::App& app, CommonFlags& flags) {
  app.add_option("--save_dtype", flags.save_dtype, "Type of the weights in the model directory")
      ->check(CLI::IsMember({"float32", "float16", "bfloat16"}))
      ->capture_default_str();
}

CLI::Option* AddCommonFlags(CLI::App& app, CommonFlags& flags) {
  CLI::Option* data = app.add_option("--data", flags.data, "Image folder with metadata.jsonl");
  app.add_option("--model", flags.loop.output,
                 "Model directory to write; the run's state goes to its folder training/")
      ->required();
  app.add_option("--steps", flags.loop.steps, "Optimizer steps in all")
      ->check(CLI::Range(int64_t{1}, kMostSteps))
      ->capture_default_str();
  app.add_option("--batch_size", flags.loop.batch_size, "Pictures a step")
      ->check(CLI::Range(int64_t{1}, int64_t{65536}))
      ->capture_default_str();
  app.add_option("--learning_rate", flags.loop.learning_rate, "Peak of the cosine schedule")
      ->capture_default_str();
  app.add_option("--warmup_steps", flags.loop.warmup_steps, "Steps of linear warm-up")
      ->capture_default_str();
  app.add_option("--optimizer", flags.loop.optimizer, "What turns gradients into updates")
      ->transform(CLI::CheckedTransformer(
          std::map<std::string, ilf::OptimizerKind>{{"adamw", ilf::OptimizerKind::kAdamW},
                                                    {"muon", ilf::OptimizerKind::kMuon}},
          CLI::ignore_case))
      ->option_text("{adamw,muon}=adamw");
  app.add_option("--weight_decay", flags.loop.weight_decay, "AdamW's weight decay")
      ->capture_default_str();
  app.add_option("--ema_decay", flags.loop.ema_decay, "Decay of the averaged weights")
      ->capture_default_str();
  app.add_flag("--bf16,!--no_bf16", flags.bf16,
               "bfloat16 autocast (default: where the hardware is fast at it)");
  app.add_option("--checkpoint_every", flags.loop.checkpoint_every,
                 "Steps between checkpoints with a sample sheet")
      ->check(CLI::Range(int64_t{1}, kMostSteps))
      ->capture_default_str();
  app.add_option("--log_every", flags.loop.log_every, "Steps between lines of the loss log")
      ->check(CLI::Range(int64_t{1}, kMostSteps))
      ->capture_default_str();
  app.add_option("--seed", flags.loop.seed, "Seed of weights, order and noise")
      ->capture_default_str();
  app.add_option("--workers", flags.loop.workers,
                 "Threads that each take a share of a step's pictures, on the CPU; --threads are "
                 "shared out among them")
      ->check(CLI::Range(int64_t{1}, int64_t{1024}))
      ->capture_default_str();
  app.add_flag("--resume,!--no_resume", flags.loop.resume,
               "Go on from the checkpoint there is (default: on)");
  app.add_option("--device", flags.device, "cpu or cuda:N")->capture_default_str();
  app.add_option("--threads", flags.threads, "CPU math threads (0: all cores)")
      ->capture_default_str();
  AddSaveDtype(app, flags);
  return data;
}

absl::Status Resolve(CommonFlags& flags) {
  if (flags.threads > 0) at::set_num_threads(flags.threads);
  ILF_ASSIGN_OR_RETURN(flags.loop.device, ilf::ParseDevice(flags.device));
  flags.loop.bf16 = flags.bf16.value_or(ilf::IsFastAtBfloat16(flags.loop.device));
  return absl::OkStatus();
}

at::ScalarType DtypeNamed(const std::string& name) {
  if (name == "float32") return at::kFloat;
  return name == "float16" ? at::kHalf : at::kBFloat16;
}

void AddVaeFlags(CLI::App& app, ilf::VaeTrainingOptions& options) {
  app.add_option("--image_size", options.image_size, "Side of the pictures in pixels")
      ->capture_default_str();
  app.add_option("--channels", options.config.block_out_channels,
                 "Channels by level, finest first; each further level halves the side")
      ->delimiter(',')
      ->capture_default_str();
  app.add_option("--layers", options.config.layers_per_block, "Residual blocks a level")
      ->capture_default_str();
  app.add_option("--latent_channels", options.config.latent_channels, "Channels of the latent")
      ->capture_default_str();
  app.add_option("--norm_groups", options.config.norm_num_groups, "Groups of the group norms")
      ->capture_default_str();
  app.add_option("--kl_weight", options.kl_weight, "Weight of the KL term")->capture_default_str();
}

void AddBaseFlags(CLI::App& app, ilf::BaseTrainingOptions& options) {
  app.add_option("--initial_model", options.initial_model,
                 "Model directory to start from, in place of random weights: one of the same sizes "
                 "(and tokenizer)")
      ->check(CLI::ExistingDirectory);
  app.add_option("--image_size", options.image_size, "Side of the pictures in pixels")
      ->capture_default_str();
  app.add_option("--layers", options.config.num_layers, "Transformer blocks")
      ->capture_default_str();
  app.add_option("--heads", options.config.num_attention_heads, "Attention heads")
      ->capture_default_str();
  app.add_option("--head_dim", options.config.attention_head_dim,
                 "Width of a head; heads * head_dim is the width of the model")
      ->capture_default_str();
  app.add_option("--patch_size", options.config.patch_size, "Latent cells a token covers, per side")
      ->capture_default_str();
  app.add_option("--label_dropout", options.label_dropout,
                 "Share of samples that learn the null class, for guidance")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  app.add_option("--loss_weighting", options.weighting.kind,
                 "What errors at the noise levels count: min_snr, or debiased, which looks more at "
                 "much noise, where a prompt decides what the picture shows")
      ->transform(CLI::CheckedTransformer(
          std::map<std::string, ilf::LossWeighting>{{"min_snr", ilf::LossWeighting::kMinSnr},
                                                    {"debiased", ilf::LossWeighting::kDebiased}},
          CLI::ignore_case))
      ->option_text("{min_snr,debiased}=min_snr");
  app.add_option("--snr_gamma", options.weighting.snr_gamma,
                 "Gamma of min_snr (0: all errors count alike)")
      ->capture_default_str();
  app.add_option("--sheet_guidance", options.sheet_guidance_scale,
                 "Guidance scale of the sample sheets")
      ->capture_default_str();
}

void AddTextFlags(CLI::App& app, ilf::TextBaseTrainingOptions& options) {
  CLI::Option* tokenizer = app.add_option(
      "--tokenizer", options.tokenizer,
      "Directory with spiece.model: trains a text-conditional PixArt and its T5 text "
      "encoder on the captions (\"text\") of the image folder, in place of a DiT");
  app.add_option("--text_layers", options.text_encoder.num_layers, "Layers of the text encoder")
      ->check(CLI::Range(1, 100))
      ->needs(tokenizer)
      ->capture_default_str();
  app.add_option("--text_dim", options.text_encoder.d_model, "Width of the text encoder")
      ->check(CLI::Range(8, 16384))
      ->needs(tokenizer)
      ->capture_default_str();
  app.add_option("--text_heads", options.text_encoder.num_heads,
                 "Attention heads of the text encoder")
      ->check(CLI::Range(1, 256))
      ->needs(tokenizer)
      ->capture_default_str();
}

void AddFeedbackFlags(CLI::App& app, ilf::FeedbackTrainingOptions& options) {
  app.add_option("--plans", options.plans,
                 "Plans and inner blocks: a feedback/config.json, or what `ilf-train plan` writes")
      ->required();
  app.add_option("--prompts", options.prompts,
                 "Text file, one prompt a line, for a model that reads text: what the references "
                 "show")
      ->check(CLI::ExistingFile);
  app.add_option("--states", options.states, "States that the module learns on")
      ->transform(CLI::CheckedTransformer(
          std::map<std::string, ilf::FeedbackStates>{{"sampler", ilf::FeedbackStates::kSampler},
                                                     {"images", ilf::FeedbackStates::kImages}},
          CLI::ignore_case))
      ->option_text("{sampler,images}=sampler");
  app.add_option("--loss", options.loss, "What is made small, with --states sampler")
      ->transform(CLI::CheckedTransformer(
          std::map<std::string, ilf::SamplerLoss>{{"final", ilf::SamplerLoss::kFinal},
                                                  {"landing", ilf::SamplerLoss::kLanding},
                                                  {"pictures", ilf::SamplerLoss::kPictures}},
          CLI::ignore_case))
      ->option_text("{final,landing,pictures}=final");
  CLI::Option* classifier =
      app.add_option("--classifier", options.classifier,
                     "Folder of `ilf-train classifier`, with --loss pictures: by its features the "
                     "pictures are to come nearer to the real ones in --data in Frechet distance "
                     "(judge the result by another classifier)")
          ->check(CLI::ExistingDirectory)
          ->needs("--data");
  app.add_option("--feature_weight", options.feature_weight,
                 "What the Frechet distance, relative to that of the references, counts beside the "
                 "square error of the pictures, relative to what it is before training")
      ->check(CLI::PositiveNumber)
      ->needs(classifier)
      ->capture_default_str();
  app.add_option("--target", options.teacher.target,
                 "What a step is to reach, with --states images")
      ->transform(CLI::CheckedTransformer(
          std::map<std::string, ilf::LandingTarget>{{"renoised", ilf::LandingTarget::kRenoised},
                                                    {"trajectory", ilf::LandingTarget::kTrajectory},
                                                    {"effective", ilf::LandingTarget::kEffective}},
          CLI::ignore_case))
      ->option_text("{renoised,trajectory,effective}=renoised");
  app.add_option("--teacher_substeps", options.teacher.substeps,
                 "Steps of the teacher within one step of the plan, with --states images")
      ->check(CLI::Range(1, 100))
      ->capture_default_str();
  app.add_option("--first_train_image", options.first_train_image,
                 "First noise of the training reference: past those of former runs, one from "
                 "--initial_model meets none again")
      ->check(CLI::Range(0, 1 << 28))
      ->capture_default_str();
  app.add_option("--train_images", options.train_images, "Noises of the training reference")
      ->check(CLI::Range(1, 1000000))
      ->capture_default_str();
  app.add_option("--validation_images", options.validation_images,
                 "Noises of the validation reference")
      ->check(CLI::Range(1, 1000000))
      ->capture_default_str();
  app.add_option("--reference_steps", options.reference_steps,
                 "Plain passes of a reference, at least")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  app.add_option("--initial", options.initial, "What the module's block starts as")
      ->transform(CLI::CheckedTransformer(
          std::map<std::string, ilf::InitialBlock>{{"identity", ilf::InitialBlock::kIdentity},
                                                   {"backbone", ilf::InitialBlock::kBackbone}},
          CLI::ignore_case))
      ->option_text("{identity,backbone}=identity");
  app.add_option("--initial_model", options.initial_model,
                 "Model directory whose module the run starts from, scales and all, in place of "
                 "--initial: one for other plans or an earlier state of the backbone")
      ->check(CLI::ExistingDirectory)
      ->excludes("--initial");
  app.add_option("--scale_gain", options.scale_gain, "How many times faster the scales learn")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--coefficient_gain", options.coefficient_gain,
                 "How many times faster the plans' coefficients learn")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--patience", options.patience,
                 "Checkpoints without improvement after which the run ends (0: never)")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
}

int Report(const absl::Status& status) {
  if (status.ok()) return 0;
  std::fprintf(stderr, "ilf-train: %s\n", std::string(status.message()).c_str());
  return absl::IsCancelled(status) ? 130 : 1;
}

int Run(int argc, char** argv) {
  CLI::App app("Trains the models that ilf-server serves, and writes them in diffusers' layout.",
               "ilf-train");
  app.require_subcommand(1);

  CommonFlags flags;
  ilf::VaeTrainingOptions vae;
  vae.config.block_out_channels = {32, 64, 96};
  CLI::App* vae_command = app.add_subcommand("vae", "An AutoencoderKL, from an image folder");
  AddCommonFlags(*vae_command, flags)->required();
  AddVaeFlags(*vae_command, vae);
  ilf::TextBaseTrainingOptions text;
  text.text_encoder.d_model = 128;
  text.text_encoder.num_layers = 4;
  text.text_encoder.num_heads = 4;
  ilf::BaseTrainingOptions& base = text.base;
  CLI::App* base_command = app.add_subcommand(
      "base",
      "A class-conditional DiT, or with --tokenizer a text-conditional PixArt, in the latent space "
      "of the model's vae/");
  AddCommonFlags(*base_command, flags)->required();
  AddBaseFlags(*base_command, base);
  AddTextFlags(*base_command, text);
  ilf::FeedbackTrainingOptions feedback;
  CLI::App* feedback_command = app.add_subcommand(
      "feedback", "A feedback module (Inner Loop Feedback) for the model directory");
  AddCommonFlags(*feedback_command, flags);
  AddFeedbackFlags(*feedback_command, feedback);
  ilf::PlanCommand plan;
  CLI::App* plan_command = app.add_subcommand(
      "plan",
      "Step plans of few steps for the model directory: searched timesteps, fitted coefficients");
  ilf::AddPlanFlags(*plan_command, plan);
  std::vector<std::string> averaged;
  CLI::App* average_command = app.add_subcommand(
      "average",
      "The mean of feedback modules that went on from a common one, on other noises or for longer");
  average_command
      ->add_option("--modules", averaged,
                   "Model directories whose feedback/ is averaged; one that is named twice counts "
                   "twice. The first names the plans")
      ->required()
      ->check(CLI::ExistingDirectory);
  average_command->add_option("--model", flags.loop.output, "Model directory to write it to")
      ->required()
      ->check(CLI::ExistingDirectory);
  AddSaveDtype(*average_command, flags);
  ilf::ClassifierTrainingOptions classifier;
  CLI::App* classifier_command = app.add_subcommand(
      "classifier",
      "A small classifier that judges generated pictures, for ilf-eval; --model is its folder");
  AddCommonFlags(*classifier_command, flags)->required();
  classifier_command
      ->add_option("--test_data", classifier.test_data, "Image folder for the accuracy")
      ->required();
  classifier_command
      ->add_option("--image_size", classifier.config.image_size, "Side of the pictures in pixels")
      ->capture_default_str();
  CLI11_PARSE(app, argc, argv);

  std::signal(SIGINT, RequestStop);
  std::signal(SIGTERM, RequestStop);
  if (const absl::Status status = Resolve(flags); !status.ok()) return Report(status);
  if (plan_command->parsed()) return Report(ilf::RunPlanCommand(plan, stop_requested));
  if (average_command->parsed()) {
    return Report(ilf::AverageFeedback(averaged, flags.loop.output, DtypeNamed(flags.save_dtype)));
  }
  if (classifier_command->parsed()) {
    classifier.loop = flags.loop;
    classifier.data = flags.data;
    return Report(ilf::TrainClassifier(classifier, stop_requested));
  }
  if (feedback_command->parsed()) {
    feedback.loop = flags.loop;
    feedback.data = flags.data;
    feedback.bf16_backbone = flags.loop.bf16;
    feedback.save_dtype = DtypeNamed(flags.save_dtype);
    return Report(ilf::TrainFeedback(feedback, stop_requested));
  }
  if (vae_command->parsed()) {
    vae.loop = flags.loop;
    vae.data = flags.data;
    vae.save_dtype = DtypeNamed(flags.save_dtype);
    return Report(ilf::TrainVae(vae, stop_requested));
  }
  base.loop = flags.loop;
  base.data = flags.data;
  base.save_dtype = DtypeNamed(flags.save_dtype);
  if (text.tokenizer.empty()) return Report(ilf::TrainBase(base, stop_requested));
  text.text_encoder.d_kv =
      std::max<int64_t>(1, text.text_encoder.d_model / text.text_encoder.num_heads);
  text.text_encoder.d_ff = 4 * text.text_encoder.d_model;
  return Report(ilf::TrainTextBase(text, stop_requested));
}

// Every step frees its graph, hundreds of MB: by default glibc gives that back to the kernel, and
// the next step faults it in again page by page.
void KeepFreedMemory() {
#if defined(__GLIBC__)
  mallopt(M_MMAP_THRESHOLD, 32 << 20);  // as high as glibc itself would ever move it
  mallopt(M_TRIM_THRESHOLD, -1);        // never
  mallopt(M_TOP_PAD, 64 << 20);         // a whole heap of a worker thread, so that none is unmapped
#endif
}

}  // namespace

int main(int argc, char** argv) {
  KeepFreedMemory();
  try {
    return Run(argc, argv);
  } catch (const std::exception& error) {
    const std::string what = error.what();
    return Report(absl::InternalError(what.substr(0, what.find('\n'))));
  }
}
