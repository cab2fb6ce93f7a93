// What turns gradients into updates of a ParameterSet.
#pragma once

#include <cstdint>

#include <ATen/core/Tensor.h>
#include <torch/optim/adamw.h>

#include "engine/training/parameter_set.h"
#include "engine/training/training_state.h"

namespace ilf {

enum class OptimizerKind {
  kAdamW,
  // Muon (Jordan et al., 2024) on matrices: the update is AdamW's first moment made orthogonal, and
  // as large as AdamW's updates are (Liu et al., "Muon is Scalable for LLM Training"), so that
  // learning rates carry over. AdamW on all else, and on matrices with a side below 16.
  kMuon,
};

struct OptimizerOptions {
  OptimizerKind kind = OptimizerKind::kAdamW;
  double learning_rate = 1e-3;
  double beta2 = 0.99;        // of AdamW
  double weight_decay = 0.0;  // of AdamW
  bool bf16 = false;          // Muon makes its updates orthogonal in bfloat16
};

// Not thread-safe. `parameters` must outlive it; the gradients are those of its flat tensor.
class Optimizer {
 public:
  Optimizer(const OptimizerOptions& options, ParameterSet& parameters);

  // Call without autograd.
  void Step(double learning_rate);

  TrainingState Save(int64_t step);
  void Restore(const TrainingState& state);

 private:
  void* Key() const { return parameters_.flat_weights().unsafeGetTensorImpl(); }
  void StepMatrices(const at::Tensor& before, double learning_rate);

  ParameterSet& parameters_;
  const OptimizerKind kind_;
  const bool bf16_;
  torch::optim::AdamW adamw_;
};

// The nearest matrix with orthonormal rows or columns, up to singular values of 0.7 to 1.2: five
// Newton-Schulz iterations with the coefficients of Muon's authors. bf16: computed in bfloat16, as
// they do, where the machine is fast at it.
at::Tensor Orthogonalised(const at::Tensor& matrix, bool bf16 = false);

}  // namespace ilf
