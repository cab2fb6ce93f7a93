#include "engine/training/parameter_set.h"

#include <vector>

#include <torch/types.h>

namespace ilf {

ParameterSet::ParameterSet(const NamedTensors& initial, c10::Device device) {
  std::vector<at::Tensor> parts;
  for (const auto& [name, tensor] : initial)
    parts.push_back(tensor.detach().flatten().to(at::kFloat));
  flat_weights_ = at::cat(parts).to(device);
  flat_gradients_ = at::zeros_like(flat_weights_);
  flat_average_ = flat_weights_.clone();
  weights_ = initial;  // for names and shapes
  weights_ = ViewsOn(flat_weights_);
  const NamedTensors gradients = ViewsOn(flat_gradients_);
  for (auto& [name, tensor] : weights_) {
    tensor = tensor.detach();
    tensor.requires_grad_(true);
    tensor.mutable_grad() = gradients.at(name);
  }
}

NamedTensors ParameterSet::ViewsOn(const at::Tensor& flat) const {
  NamedTensors views;
  int64_t begin = 0;
  for (const auto& [name, tensor] : weights_) {
    views[name] = flat.narrow(0, begin, tensor.numel()).view(tensor.sizes());
    begin += tensor.numel();
  }
  return views;
}

NamedTensors ParameterSet::AveragedWeights() const { return ViewsOn(flat_average_); }

void ParameterSet::ZeroGradients() { flat_gradients_.zero_(); }

void ParameterSet::UpdateAverage(double decay) { flat_average_.lerp_(flat_weights_, 1.0 - decay); }

}  // namespace ilf
