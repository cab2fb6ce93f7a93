#include "engine/training/optimizer.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <memory>
#include <utility>
#include <vector>

#include <ATen/Parallel.h>
#include <torch/types.h>

namespace ilf {
namespace {

constexpr int64_t kLeastMatrixSide = 16;
constexpr double kAdamLikeSize = 0.2;  // root mean square of a typical update of Adam
constexpr int kIterations = 5;

bool IsMatrix(const at::Tensor& weight) {
  return weight.dim() == 2 && std::min(weight.size(0), weight.size(1)) >= kLeastMatrixSide;
}

}  // namespace

at::Tensor Orthogonalised(const at::Tensor& matrix, bool bf16) {
  const bool tall = matrix.size(0) > matrix.size(1);
  at::Tensor x = tall ? matrix.t() : matrix;
  x = x / (x.norm() + 1e-12);
  if (bf16) x = x.to(at::kBFloat16);
  for (int i = 0; i < kIterations; ++i) {
    const at::Tensor a = x.matmul(x.t());
    x = 3.4445 * x + (-4.7750 * a + 2.0315 * a.matmul(a)).matmul(x);
  }
  return (tall ? x.t() : x).to(matrix.scalar_type());
}

Optimizer::Optimizer(const OptimizerOptions& options, ParameterSet& parameters)
    : parameters_(parameters),
      kind_(options.kind),
      bf16_(options.bf16),
      adamw_({parameters.flat_weights()}, torch::optim::AdamWOptions(options.learning_rate)
                                              .betas({0.9, options.beta2})
                                              .weight_decay(options.weight_decay)) {
  parameters_.flat_weights().mutable_grad() = parameters_.flat_gradients();
}

void Optimizer::Step(double learning_rate) {
  adamw_.param_groups()[0].options().set_lr(learning_rate);
  if (kind_ == OptimizerKind::kAdamW) {
    adamw_.step();
    return;
  }
  const at::Tensor before = parameters_.flat_weights().clone();
  adamw_.step();
  StepMatrices(before, learning_rate);
}

// Replaces AdamW's update of the matrices, which were `before`.
void Optimizer::StepMatrices(const at::Tensor& before, double learning_rate) {
  const auto& moments =
      static_cast<const torch::optim::AdamWParamState&>(*adamw_.state().at(Key()));
  std::vector<at::Tensor> matrices;
  for (const auto& [name, weight] : parameters_.weights()) {
    if (IsMatrix(weight)) matrices.push_back(weight);
  }
  // Matrices as small as these leave cores idle one by one.
  at::parallel_for(0, std::ssize(matrices), 1, [&](int64_t begin, int64_t end) {
    at::NoGradGuard no_grad;  // each thread has its own
    for (int64_t i = begin; i < end; ++i) {
      const at::Tensor& weight = matrices[i];
      const auto view = [&](const at::Tensor& flat) {
        return flat.narrow(0, weight.storage_offset(), weight.numel()).view(weight.sizes());
      };
      const double size =
          kAdamLikeSize * std::sqrt(static_cast<double>(std::max(weight.size(0), weight.size(1))));
      view(parameters_.flat_weights())
          .copy_(view(before) -
                 learning_rate * size * Orthogonalised(view(moments.exp_avg()), bf16_));
    }
  });
}

TrainingState Optimizer::Save(int64_t step) {
  TrainingState state{step, parameters_.flat_weights(), parameters_.flat_average(), {}, {}};
  const auto found = adamw_.state().find(Key());
  if (found == adamw_.state().end()) {
    state.exp_avg = state.exp_avg_sq = at::zeros_like(state.weights);
  } else {
    auto& moments = static_cast<torch::optim::AdamWParamState&>(*found->second);
    state.exp_avg = moments.exp_avg();
    state.exp_avg_sq = moments.exp_avg_sq();
  }
  return state;
}

void Optimizer::Restore(const TrainingState& state) {
  const at::Tensor& weights = parameters_.flat_weights();
  parameters_.flat_weights().copy_(state.weights);
  parameters_.flat_average().copy_(state.average);
  auto moments = std::make_unique<torch::optim::AdamWParamState>();
  moments->step(state.step);
  moments->exp_avg(state.exp_avg.to(weights.device(), weights.scalar_type(), false, true));
  moments->exp_avg_sq(state.exp_avg_sq.to(weights.device(), weights.scalar_type(), false, true));
  adamw_.state()[Key()] = std::move(moments);
}

}  // namespace ilf
