// The learnable tensors of a model in one block of memory, with their gradients and moving average.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include <ATen/core/Tensor.h>

namespace ilf {

using NamedTensors = std::map<std::string, at::Tensor>;

// One flat tensor each for weights, gradients and EMA: the optimizer, the clipping and the average
// are one operation each instead of one a tensor. The named tensors are views on them. Not
// thread-safe.
class ParameterSet {
 public:
  // Copies `initial` to `device` in float32.
  ParameterSet(const NamedTensors& initial, c10::Device device);

  const NamedTensors& weights() const { return weights_; }  // leaves of autograd
  NamedTensors AveragedWeights() const;                     // views on the EMA

  at::Tensor& flat_weights() { return flat_weights_; }
  at::Tensor& flat_gradients() { return flat_gradients_; }
  at::Tensor& flat_average() { return flat_average_; }

  void ZeroGradients();
  // average = decay * average + (1 - decay) * weights
  void UpdateAverage(double decay);
  int64_t size() const { return flat_weights_.numel(); }

 private:
  NamedTensors ViewsOn(const at::Tensor& flat) const;

  NamedTensors weights_;
  at::Tensor flat_weights_, flat_gradients_, flat_average_;
};

}  // namespace ilf
