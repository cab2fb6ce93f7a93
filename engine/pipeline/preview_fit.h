// The linear map from latents to preview colours: read from a model directory, or fitted.
#pragma once

#include <cstdint>
#include <string>

#include <ATen/core/Tensor.h>

#include "absl/status/statusor.h"
#include "engine/image/preview_colour.h"

namespace ilf {

// Reads latent_rgb_factors (red, green, blue of the first latent channel, then of the second, ...)
// and latent_rgb_bias.
absl::StatusOr<PreviewColour> ReadPreviewColour(const std::string& file, int64_t latent_channels);

// Least squares from scaled latents [n, channels, h, w] to the pictures [n, 3, H, W] in [-1, 1],
// averaged over the area of each latent cell.
PreviewColour FitPreviewColour(const at::Tensor& latents, const at::Tensor& images);

}  // namespace ilf
