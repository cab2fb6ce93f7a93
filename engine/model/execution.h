// Where and how a model computes.
#pragma once

#include <c10/core/Device.h>
#include <c10/core/ScalarType.h>

namespace ilf {

struct Execution {
  c10::Device device = c10::kCPU;
  c10::ScalarType dtype = c10::kFloat;  // kFloat or kBFloat16, of the blocks' weights and products

  // Linear layers run on row tiles of fixed sizes, so that a row's bits do not depend on how many
  // other rows share the call (docs/architecture.md, "Batch invariance"). Off: one call for all
  // rows.
  bool batch_invariant = true;

  // The same in float32, for the small layers at a model's two ends: rounding there enters the
  // result whole, and they cost next to nothing.
  Execution InFloat32() const {
    Execution float32 = *this;
    float32.dtype = c10::kFloat;
    return float32;
  }

  // Autograd will differentiate by the activations. On a CPU attention runs in parts then, whose
  // backward pass is twice as fast as that of the fused kernel; on a GPU the fused kernels do
  // without the scores of every block and step in memory. Goes with batch_invariant off.
  bool differentiable = false;

  // Weights stay the tensors of the state dict (leaves of autograd); nothing is packed, merged or
  // converted. Implies differentiable.
  bool trainable = false;
};

}  // namespace ilf
