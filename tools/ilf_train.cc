// ilf-train: trains the models that ilf-server serves.
#include <atomic>
#include <csignal>
#include <cstdio>
#include <exception>
#include <optional>
#include <string>

#include <ATen/Parallel.h>
#include <CLI/CLI.hpp>

#include "absl/status/status.h"
#include "engine/base/status_macros.h"
#include "engine/pipeline/load_models.h"
#include "engine/training/base_trainer.h"
#include "engine/training/vae_trainer.h"

namespace {

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

void AddCommonFlags(CLI::App& app, CommonFlags& flags) {
  app.add_option("--data", flags.data, "Image folder with metadata.jsonl")->required();
  app.add_option("--model", flags.loop.output,
                 "Model directory to write; the run's state goes to its folder training/")
      ->required();
  app.add_option("--steps", flags.loop.steps, "Optimizer steps in all")->capture_default_str();
  app.add_option("--batch_size", flags.loop.batch_size, "Pictures a step")->capture_default_str();
  app.add_option("--learning_rate", flags.loop.learning_rate, "Peak of the cosine schedule")
      ->capture_default_str();
  app.add_option("--warmup_steps", flags.loop.warmup_steps, "Steps of linear warm-up")
      ->capture_default_str();
  app.add_option("--weight_decay", flags.loop.weight_decay, "AdamW's weight decay")
      ->capture_default_str();
  app.add_option("--ema_decay", flags.loop.ema_decay, "Decay of the averaged weights")
      ->capture_default_str();
  app.add_flag("--bf16,!--no_bf16", flags.bf16,
               "bfloat16 autocast (default: where the hardware is fast at it)");
  app.add_option("--checkpoint_every", flags.loop.checkpoint_every,
                 "Steps between checkpoints with a sample sheet")
      ->capture_default_str();
  app.add_option("--log_every", flags.loop.log_every, "Steps between lines of the loss log")
      ->capture_default_str();
  app.add_option("--seed", flags.loop.seed, "Seed of weights, order and noise")
      ->capture_default_str();
  app.add_flag("--resume,!--no_resume", flags.loop.resume,
               "Go on from the checkpoint there is (default: on)");
  app.add_option("--device", flags.device, "cpu or cuda:N")->capture_default_str();
  app.add_option("--threads", flags.threads, "CPU math threads (0: all cores)")
      ->capture_default_str();
  app.add_option("--save_dtype", flags.save_dtype, "Type of the weights in the model directory")
      ->check(CLI::IsMember({"float32", "float16", "bfloat16"}))
      ->capture_default_str();
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
  app.add_option("--image_size", options.image_size, "Side of the pictures in pixels")
      ->capture_default_str();
  app.add_option("--layers", options.config.num_layers, "Transformer blocks")->capture_default_str();
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
  app.add_option("--snr_gamma", options.snr_gamma, "Min-SNR weighting of the loss (0: none)")
      ->capture_default_str();
  app.add_option("--sheet_guidance", options.sheet_guidance_scale,
                 "Guidance scale of the sample sheets")
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
  AddCommonFlags(*vae_command, flags);
  AddVaeFlags(*vae_command, vae);
  ilf::BaseTrainingOptions base;
  CLI::App* base_command =
      app.add_subcommand("base", "A class-conditional DiT, in the latent space of the model's vae/");
  AddCommonFlags(*base_command, flags);
  AddBaseFlags(*base_command, base);
  CLI11_PARSE(app, argc, argv);

  std::signal(SIGINT, RequestStop);
  std::signal(SIGTERM, RequestStop);
  if (const absl::Status status = Resolve(flags); !status.ok()) return Report(status);
  if (vae_command->parsed()) {
    vae.loop = flags.loop;
    vae.data = flags.data;
    vae.save_dtype = DtypeNamed(flags.save_dtype);
    return Report(ilf::TrainVae(vae, stop_requested));
  }
  base.loop = flags.loop;
  base.data = flags.data;
  base.save_dtype = DtypeNamed(flags.save_dtype);
  return Report(ilf::TrainBase(base, stop_requested));
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return Run(argc, argv);
  } catch (const std::exception& error) {
    const std::string what = error.what();
    return Report(absl::InternalError(what.substr(0, what.find('\n'))));
  }
}
