// Cheap previews: a linear map from a latent's channels to RGB, one pixel per latent position.
#pragma once

#include <array>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/image/rgb.h"

namespace ilf {

// rgb = bias + sum over channels of latent[channel] * weights[channel], in [-1, 1]. The latent is
// the scaled one that the transformer works on.
struct PreviewColour {
  std::vector<std::array<float, 3>> weights;  // by latent channel
  std::array<float, 3> bias = {0.0f, 0.0f, 0.0f};
};

// The published map for 4-channel autoencoders with Stable Diffusion's (0.18215) or SDXL's
// (0.13025) scaling factor, else nothing.
std::optional<PreviewColour> KnownPreviewColour(double scaling_factor, int latent_channels);

// `latent` holds [channels, height, width], contiguous. INVALID_ARGUMENT when its length or channel
// count does not fit. Values outside of [-1, 1] are clamped; NaN becomes black.
absl::StatusOr<RgbBuffer> ColourLatent(const PreviewColour& colour, absl::Span<const float> latent,
                                       int height, int width);

}  // namespace ilf
