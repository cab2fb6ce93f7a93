// The latents of a whole image folder, encoded once.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "absl/status/statusor.h"
#include "engine/model/autoencoder_kl.h"
#include "engine/training/image_folder.h"

namespace ilf {

// The autoencoder of a model directory, in float32.
absl::StatusOr<AutoencoderKl> LoadAutoencoder(const std::string& model, c10::Device device);

struct LatentData {
  at::Tensor latents;  // [n, channels, side, side] float32 on the CPU, scaled
  at::Tensor labels;   // [n] int64
  std::vector<std::string> label_names;
  std::vector<int64_t> pass;  // as ImageFolder's
};

// The image folder `data` as latents of `model`'s autoencoder, cached in
// `model`/training/latents.safetensors.
absl::StatusOr<LatentData> LoadLatents(const std::string& data, int64_t image_size,
                                       const std::string& model, const AutoencoderKl& autoencoder,
                                       c10::Device device);

// Scaled latent means of all pictures, [size, channels, h, w] float32 on the CPU. Kept in `file`
// (and read back when it was made under the same `key`, which names the pictures and the
// autoencoder's weights).
absl::StatusOr<at::Tensor> EncodeImages(const ImageFolder& folder, const AutoencoderKl& autoencoder,
                                        c10::Device device, const std::string& file,
                                        const std::string& key);

}  // namespace ilf
