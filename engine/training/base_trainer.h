// Trains a class-conditional DiT on an image folder, in the latent space of an autoencoder.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "engine/model/transformer_config.h"
#include "engine/training/noise_loss.h"
#include "engine/training/training_loop.h"

namespace ilf {

struct BaseTrainingOptions {
  std::string data;  // image folder
  // Model directory whose weights the run starts from, in place of random ones: of the same config
  // (and vocabulary). Empty for none.
  std::string initial_model;
  int64_t image_size = 32;
  // in_channels, out_channels, sample_size and num_classes follow from autoencoder and data.
  TransformerConfig config;
  double label_dropout = 0.1;  // share of samples that learn the null class
  WeightingOptions weighting;
  double sheet_guidance_scale = 2.0;
  at::ScalarType save_dtype = at::kHalf;
  TrainingOptions loop;  // output is the model directory, which has its vae/ already
};

// Epsilon prediction, linear betas over 1000 timesteps (Ho et al.; Peebles & Xie). Writes
// `loop.output`/ transformer, scheduler and model_index.json; the checkpoint goes to
// `loop.output`/training/base.
absl::Status TrainBase(const BaseTrainingOptions& options, const std::atomic<bool>& stop);

}  // namespace ilf
