// Random weights that training starts from, under diffusers' names.
#pragma once

#include <ATen/core/Generator.h>

#include "engine/model/autoencoder_config.h"
#include "engine/model/dit_config.h"
#include "engine/model/feedback_module.h"
#include "engine/training/parameter_set.h"

namespace ilf {

// PyTorch's defaults for convolutions, linear layers and group norms.
NamedTensors InitialAutoencoder(const AutoencoderConfig& config, at::Generator generator);

// adaLN-Zero: every block starts as the identity and the output as zero (Peebles & Xie,
// section 3.2). Holds the embedder once, under block 0's names.
NamedTensors InitialDit(const DitConfig& config, at::Generator generator);

// A block that passes its input on (adaLN-Zero) and scales of zero: feedback that changes nothing.
NamedTensors InitialFeedback(const FeedbackConfig& config, const DitConfig& backbone,
                             at::Generator generator);

// Adds block 0's embedder under the names of all other blocks, as diffusers' layout wants it (same
// tensors).
NamedTensors WithEmbedderCopies(const NamedTensors& weights, const DitConfig& config);

}  // namespace ilf
