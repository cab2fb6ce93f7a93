// Block caching, the rival of feedback: sampling in which some steps reuse what an earlier step
// computed.
#pragma once

#include <cstdint>
#include <string>

#include <ATen/core/Tensor.h>

#include "engine/model/transformer.h"
#include "engine/pipeline/denoiser.h"
#include "engine/sampling/step_plan.h"
#include "engine/training/reference.h"

namespace ilf {

enum class CacheKind {
  kBlocks,  // steps between two full ones add the residual that the cached blocks added at the last
            // full one (as Delta-DiT and FORA do; with all blocks cached little but the ends of the
            // model runs)
  kTaylor,  // they extrapolate that residual linearly over the timestep from the last two full
            // steps (TaylorSeer)
};

struct CachePolicy {
  CacheKind kind = CacheKind::kBlocks;
  int period = 2;     // every period-th step is full, beginning with the first
  BlockRange blocks;  // the cached ones

  // "blocks every 2, 4-24"
  std::string Name() const;
};

struct CachedRun {
  at::Tensor latents;              // the final ones, [images, channels, h, w] float32 on the CPU
  double block_evaluations = 0.0;  // of an image, per row
};

// Runs all images of `reference` under `plan` (plain passes), `batch` a forward. `device`: the
// model's.
CachedRun RunCached(const Denoiser& model, const StepPlan& plan, const CachePolicy& policy,
                    const Reference& reference, int64_t batch, c10::Device device = at::kCPU);

}  // namespace ilf
