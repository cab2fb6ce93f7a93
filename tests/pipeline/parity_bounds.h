// How far whole models may be from diffusers. README.md of tests/fixtures says what a run's
// `rounding` is.
#pragma once

#include <algorithm>

namespace ilf {

inline constexpr double kNoiseBound = 1e-6;
// In [-1, 1]; an eighth of a step of 8-bit pixels. No run needs more: the decoders' norms divide by
// the size of the latents, and no rounding moves a picture by more than 4e-4.
inline constexpr double kDecodedBound = 1e-3;
inline constexpr double kPixelBound = 1.0;  // steps of 8-bit pixels
inline constexpr double kBfloat16Factor = 1.2;

// For latents. Steps divide by the little signal that is left in noise, and guidance multiplies:
// both enlarge the rounding of float32, ours and that in diffusers' own latents. Which way it
// rounds depends on the machine: diffusers' own latents of one run are up to 5 roundings from each
// other on two processors, and ours from theirs with MKL's kernels for AVX2 and for AVX-512.
inline double LatentBound(double rounding) { return std::max(1e-4, 10 * rounding); }

}  // namespace ilf
