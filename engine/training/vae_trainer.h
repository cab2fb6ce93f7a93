// Trains an AutoencoderKL on an image folder.
#pragma once

#include <atomic>
#include <string>

#include "absl/status/status.h"
#include "engine/model/autoencoder_config.h"
#include "engine/training/training_loop.h"

namespace ilf {

struct VaeTrainingOptions {
  std::string data;          // image folder
  int64_t image_size = 32;   // pixels
  AutoencoderConfig config;  // scaling_factor is measured, not taken from here
  double kl_weight = 1e-6;
  double l1_weight = 0.5;  // share of |difference| beside its square in the reconstruction loss
  at::ScalarType save_dtype = at::kHalf;
  TrainingOptions
      loop;  // output is the model directory; the checkpoint goes to output/training/vae
};

// Writes `loop.output`/vae with a scaling factor that gives the latents unit variance, and
// `loop.output`/preview with the fitted latent-to-RGB map.
absl::Status TrainVae(const VaeTrainingOptions& options, const std::atomic<bool>& stop);

}  // namespace ilf
