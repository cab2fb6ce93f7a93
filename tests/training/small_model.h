// A model directory with random weights, small enough to train on in a test.
#pragma once

#include <string>

#include "engine/model/transformer.h"
#include "engine/sampling/noise_schedule.h"

namespace ilf {

TransformerConfig SmallDitConfig();

// The transformer alone: 4 blocks, 3 classes, latents of 4x4x4.
Transformer SmallDit(const Execution& execution = {});

// The same with an untrained autoencoder for pictures of 8x8, written to a fresh folder of the
// running test; returns its path.
std::string SmallModelDirectory(const std::string& name);

// A PixArt in place of the DiT, with a text encoder and a tokenizer.
std::string SmallTextModelDirectory(const std::string& name);

}  // namespace ilf
