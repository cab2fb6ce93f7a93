// Fine solves from fixed noises: where an accelerated sampler of the same model should come by and
// end.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "absl/status/statusor.h"
#include "engine/pipeline/denoiser.h"
#include "engine/sampling/noise_schedule.h"
#include "engine/training/subjects.h"

namespace ilf {

struct ReferenceOptions {
  int64_t images = 1024;    // subjects take turns
  uint64_t first_seed = 0;  // image i starts from the noise of first_seed + i, as a request would
  // Take turns, after each round of subjects, or of ten of them where there are more.
  std::vector<double> guidance_scales = {1.0};
  Subjects subjects = {};  // none: the classes of the model
  int min_steps =
      60;  // plain passes an image, at least; evenly spaced in log SNR between `timesteps`
  int64_t batch = 64;  // images a forward
  c10::Device device = c10::kCPU;
};

// Const after it is made. Latents are float32 on the CPU.
struct Reference {
  std::vector<double> timesteps;        // where states are kept, falling
  std::vector<Subject> subjects;        // by image
  at::Tensor no_prompt;                 // of Subjects
  std::vector<double> guidance_scales;  // by image
  at::Tensor states;  // [timesteps + 1, images, channels, h, w]; the last is the final latent

  int64_t images() const { return static_cast<int64_t>(subjects.size()); }
  at::Tensor noise() const { return states[0]; }
  at::Tensor final_latents() const { return states[-1]; }

  // The same images with the states at `positions` of timesteps (rising) alone, and the final ones.
  Reference At(const std::vector<int64_t>& positions) const;
  Reference Select(const std::vector<int64_t>& images) const;
  // The images [begin, begin + count).
  Reference Images(int64_t begin, int64_t count) const;
};

// The images before they are solved: states holds their noise alone, and timesteps nothing.
Reference UnsolvedReference(const TransformerConfig& config, const ReferenceOptions& options);

// Solves with DPM-Solver++ 2M and plain passes from the first of `timesteps`, which fall, to the
// end. Kept in `file`: images that are there already, solved by the same options from the same
// timesteps and under the same `key` (which tells one backbone from another), are not solved again,
// so that a stopped run goes on, and a larger reference begins with a smaller one. Shows progress
// on stderr; CANCELLED once `stop` is set.
absl::StatusOr<Reference> SolveReference(const Denoiser& denoiser, const NoiseSchedule& schedule,
                                         const std::vector<double>& timesteps,
                                         const ReferenceOptions& options, const std::string& file,
                                         const std::string& key, const std::atomic<bool>& stop);

// The images of `reference` at their noise, about to follow `plan` with `denoiser`.
std::vector<Trajectory> StartImages(const Denoiser& denoiser, const StepPlan& plan,
                                    const Reference& reference, c10::Device device);

std::vector<Trajectory*> PointersTo(std::vector<Trajectory>& images);

// Every image's x, [images, channels, h, w].
at::Tensor LatentsOf(const std::vector<Trajectory>& images);

// The noise of `count` images whose seeds begin at `first_seed`, [count, channels, h, w] float32 on
// the CPU.
at::Tensor NoiseOf(const TransformerConfig& config, uint64_t first_seed, int64_t count);

// Root of the mean squared difference.
double Rmse(const at::Tensor& a, const at::Tensor& b);

}  // namespace ilf
