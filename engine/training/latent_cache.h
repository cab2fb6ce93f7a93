// The latents of a whole image folder, encoded once.
#pragma once

#include <string>

#include <ATen/core/Tensor.h>

#include "absl/status/statusor.h"
#include "engine/model/autoencoder_kl.h"
#include "engine/training/image_folder.h"

namespace ilf {

// Scaled latent means of all pictures, [size, channels, h, w] float32 on the CPU. Kept in `file` (and read back
// when it was made by the same autoencoder weights, named by `key`, for as many pictures).
absl::StatusOr<at::Tensor> EncodeImages(const ImageFolder& folder, const AutoencoderKl& autoencoder,
                                        c10::Device device, const std::string& file,
                                        const std::string& key);

}  // namespace ilf
