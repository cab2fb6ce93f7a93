#include "engine/image/preview_colour.h"

#include <cmath>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"

namespace ilf {
namespace {

constexpr double kStableDiffusionScaling = 0.18215;
constexpr double kSdxlScaling = 0.13025;
constexpr double kScalingTolerance = 1e-5;  // a file may hold the factor in float32

uint8_t ToByte(float value) {
  const float scaled = (value + 1.0f) * 127.5f;
  if (!(scaled > 0.0f)) return 0;
  return scaled >= 255.0f ? 255 : static_cast<uint8_t>(std::lround(scaled));
}

}  // namespace

std::optional<PreviewColour> KnownPreviewColour(double scaling_factor, int latent_channels) {
  if (latent_channels != 4) return std::nullopt;
  const auto is = [&](double known) {
    return std::abs(scaling_factor - known) < kScalingTolerance;
  };
  if (is(kStableDiffusionScaling)) {
    return PreviewColour{{{0.3512f, 0.2297f, 0.3227f},
                          {0.3250f, 0.4974f, 0.2350f},
                          {-0.2829f, 0.1762f, 0.2721f},
                          {-0.2120f, -0.2616f, -0.7177f}},
                         {0.0f, 0.0f, 0.0f}};
  }
  if (is(kSdxlScaling)) {
    return PreviewColour{{{0.3651f, 0.4232f, 0.4341f},
                          {-0.2533f, -0.0042f, 0.1068f},
                          {0.1076f, 0.1111f, -0.0362f},
                          {-0.3165f, -0.2492f, -0.2188f}},
                         {0.1084f, -0.0175f, -0.0011f}};
  }
  return std::nullopt;
}

absl::StatusOr<RgbBuffer> ColourLatent(const PreviewColour& colour, absl::Span<const float> latent,
                                       int height, int width) {
  ILF_RETURN_IF_ERROR(CheckSize(width, height));
  const size_t positions = static_cast<size_t>(width) * height;
  if (latent.size() != positions * colour.weights.size()) {
    return absl::InvalidArgumentError(absl::StrCat("latent of ", latent.size(), " values is not ",
                                                   colour.weights.size(), "x", height, "x", width));
  }
  RgbBuffer image{width, height, std::vector<uint8_t>(RgbBytes(width, height))};
  for (size_t i = 0; i < positions; ++i) {
    std::array<float, 3> rgb = colour.bias;
    for (size_t channel = 0; channel < colour.weights.size(); ++channel) {
      const float value = latent[channel * positions + i];
      for (int k = 0; k < 3; ++k) rgb[k] += value * colour.weights[channel][k];
    }
    for (int k = 0; k < 3; ++k) image.pixels[3 * i + k] = ToByte(rgb[k]);
  }
  return image;
}

}  // namespace ilf
