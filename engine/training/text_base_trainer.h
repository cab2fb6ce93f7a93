// Trains a text-conditional PixArt and its T5 text encoder on a captioned image folder, in the
// latent space of an autoencoder.
#pragma once

#include <atomic>
#include <string>

#include "absl/status/status.h"
#include "engine/model/t5_config.h"
#include "engine/training/base_trainer.h"

namespace ilf {

struct TextBaseTrainingOptions {
  // label_dropout is the share of samples that learn the empty prompt; of the transformer's config
  // what text and data decide follows from them.
  BaseTrainingOptions base;
  std::string tokenizer;  // directory with spiece.model, copied to the model's tokenizer/
  T5Config text_encoder;  // vocab_size follows from the tokenizer
};

// As TrainBase; the text encoder learns along. A sample learns one of its picture's
// captions, chosen at random each time. Writes `loop.output`/transformer, text_encoder, tokenizer,
// scheduler and model_index.json of a PixArtSigmaPipeline. Sample sheets show 16 pictures of the
// folder, each beside samples of its first caption.
absl::Status TrainTextBase(const TextBaseTrainingOptions& options, const std::atomic<bool>& stop);

}  // namespace ilf
