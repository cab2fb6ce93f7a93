// Random weights that training starts from, under diffusers' names.
#pragma once

#include <ATen/core/Generator.h>

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

// Adds a DiT's embedder of block 0 under the names of all other blocks, as diffusers' layout wants
// it (same tensors).
NamedTensors WithEmbedderCopies(const NamedTensors& weights, const TransformerConfig& config);

}  // namespace ilf
