// Weights that training starts from, under diffusers' names.
#pragma once

#include <string>

#include <ATen/core/Generator.h>

#include "absl/status/status.h"
#include "engine/model/autoencoder_config.h"
#include "engine/model/feedback_module.h"
#include "engine/model/t5_config.h"
#include "engine/model/transformer_config.h"
#include "engine/training/parameter_set.h"

namespace ilf {

// PyTorch's defaults for convolutions, linear layers and group norms.
NamedTensors InitialAutoencoder(const AutoencoderConfig& config, at::Generator generator);

// The output starts as zero. DiT: adaLN-Zero, every block starts as the identity (Peebles & Xie,
// section 3.2); holds the embedder once, under block 0's names. PixArt: tables, embedders and
// cross-attention as in the published training (cross-attention adds nothing at first); without
// micro-conditions.
NamedTensors InitialTransformer(const TransformerConfig& config, at::Generator generator);

// T5's own: normal weights whose deviation falls with the width they read from (Raffel et al.,
// "Exploring the Limits of Transfer Learning"; transformers T5PreTrainedModel).
NamedTensors InitialT5(const T5Config& config, at::Generator generator);

// A block that passes its input on (adaLN-Zero) and scales of zero: feedback that changes nothing.
NamedTensors InitialFeedback(const FeedbackConfig& config, const TransformerConfig& backbone,
                             at::Generator generator);

// Replaces every tensor of `initial` by that of `folder`/`name`.safetensors (or its shards), whose
// names and shapes must be the same; a DiT's copies of its embedder are passed over. Errors name
// the tensor, as StateDict's do.
absl::Status TakeWeights(const std::string& folder, const std::string& name, NamedTensors& initial);

// Adds a DiT's embedder of block 0 under the names of all other blocks, as diffusers' layout wants
// it (same tensors).
NamedTensors WithEmbedderCopies(const NamedTensors& weights, const TransformerConfig& config);

}  // namespace ilf
