// Positions and timesteps as vectors.
#pragma once

#include <cstdint>

#include <ATen/core/Tensor.h>

namespace ilf {

// 2-D sine-cosine position embedding of a grid of tokens, [height * width, dim] float32, row by
// row. The first half of a vector encodes the column, the second the row; frequencies in float64.
// `base` is the grid side that the model was trained on: coordinates are scaled to it, then divided
// by `interpolation_scale`. (diffusers get_2d_sincos_pos_embed; Peebles & Xie, "Scalable Diffusion
// Models with Transformers")
at::Tensor PositionEmbedding(int64_t dim, int64_t height, int64_t width, int64_t base,
                             double interpolation_scale);

// Sinusoidal embedding of timesteps [n] (float32) -> [n, dim] float32, cosines first. The exponent
// is divided by dim / 2 - `frequency_shift`. (Ho et al., "Denoising Diffusion Probabilistic
// Models")
at::Tensor TimestepEmbedding(const at::Tensor& timesteps, int64_t dim, double frequency_shift);

}  // namespace ilf
