#include "engine/pipeline/preview_fit.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/adaptive_avg_pool2d.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/eye.h>
#include <ATen/ops/linalg_solve.h>
#include <ATen/ops/ones.h>

#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "engine/checkpoint/json_config.h"

namespace ilf {

absl::StatusOr<PreviewColour> ReadPreviewColour(const std::string& file, int64_t latent_channels) {
  ILF_ASSIGN_OR_RETURN(const JsonConfig json, JsonConfig::Load(file));
  ILF_ASSIGN_OR_RETURN(const std::vector<double> factors, json.GetDoubleList("latent_rgb_factors"));
  ILF_ASSIGN_OR_RETURN(const std::vector<double> bias, json.GetDoubleList("latent_rgb_bias"));
  if (static_cast<int64_t>(factors.size()) != 3 * latent_channels || bias.size() != 3) {
    return absl::InvalidArgumentError(
        absl::StrCat(file, ": latent_rgb_factors must hold 3 numbers for each of the ",
                     latent_channels, " latent channels, and latent_rgb_bias 3"));
  }
  PreviewColour colour;
  colour.weights.resize(latent_channels);
  for (int64_t i = 0; i < 3 * latent_channels; ++i) {
    colour.weights[i / 3][i % 3] = static_cast<float>(factors[i]);
  }
  for (int i = 0; i < 3; ++i) colour.bias[i] = static_cast<float>(bias[i]);
  return colour;
}

PreviewColour FitPreviewColour(const at::Tensor& latents, const at::Tensor& images) {
  const int64_t channels = latents.size(1);
  const at::Tensor small =
      at::adaptive_avg_pool2d(images.to(at::kFloat), {latents.size(2), latents.size(3)});
  const auto by_cell = [](const at::Tensor& maps) {
    return maps.to(at::kCPU, at::kDouble).permute({0, 2, 3, 1}).flatten(0, 2);
  };
  const at::Tensor x = by_cell(latents);
  const at::Tensor inputs = at::cat({x, at::ones({x.size(0), 1}, x.options())}, 1);
  // Normal equations with a touch of ridge: channels that never vary get weight zero, not infinity.
  const at::Tensor gram = inputs.t().matmul(inputs);
  const at::Tensor ridge = 1e-6 * gram.diagonal().mean() * at::eye(channels + 1, gram.options());
  const at::Tensor solution = at::linalg_solve(gram + ridge, inputs.t().matmul(by_cell(small)));

  PreviewColour colour;
  colour.weights.resize(channels);
  for (int64_t rgb = 0; rgb < 3; ++rgb) {
    for (int64_t c = 0; c < channels; ++c) {
      colour.weights[c][rgb] = solution[c][rgb].item<float>();
    }
    colour.bias[rgb] = solution[channels][rgb].item<float>();
  }
  return colour;
}

}  // namespace ilf
