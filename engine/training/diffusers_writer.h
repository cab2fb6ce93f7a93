// Writes models in diffusers' directory layout.
#pragma once

#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "absl/status/status.h"
#include "engine/image/preview_colour.h"
#include "engine/model/autoencoder_config.h"
#include "engine/model/t5_config.h"
#include "engine/model/transformer_config.h"
#include "engine/training/parameter_set.h"

namespace ilf {

// `model`/vae: config.json and the weights in `dtype` (kFloat, kHalf, kBFloat16). `sample_size` is
// the side of the training pictures in pixels.
absl::Status WriteAutoencoder(const std::string& model, const AutoencoderConfig& config,
                              int64_t sample_size, const NamedTensors& weights,
                              at::ScalarType dtype);

// `model`/preview/config.json: the linear map from latent to RGB, as ReadPreviewColour takes it.
absl::Status WritePreviewColour(const std::string& model, const PreviewColour& colour);

// `model`/transformer, `model`/scheduler (DPM-Solver++ 2M, linear betas over 1000 timesteps) and
// `model`/model_index.json with `labels` as id2label.
absl::Status WriteDit(const std::string& model, const TransformerConfig& config,
                      const NamedTensors& weights, const std::vector<std::string>& labels,
                      at::ScalarType dtype);

// `model`/transformer and scheduler of a PixArt, `model`/text_encoder (a T5) and
// `model`/model_index.json of a PixArtSigmaPipeline. Its tokenizer/ is the caller's.
struct TextModelWeights {
  NamedTensors transformer;
  NamedTensors text_encoder;
};
absl::Status WritePixArt(const std::string& model, const TransformerConfig& config,
                         const T5Config& text_encoder, const TextModelWeights& weights,
                         at::ScalarType dtype);

}  // namespace ilf
