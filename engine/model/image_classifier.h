// A small convolutional classifier: the judge of generated pictures. It shares nothing with the
// generator: not its weights, not its autoencoder.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/checkpoint/json_config.h"
#include "engine/checkpoint/state_dict.h"

namespace ilf {

struct ClassifierConfig {
  std::vector<int64_t> channels = {24, 48, 48, 96, 96, 128};  // of its convolutions
  std::vector<int64_t> strides = {1, 2, 1, 2, 1, 2};
  int64_t norm_groups = 8;
  int64_t classes = 10;
  int64_t image_size = 32;  // side of the pictures, pixels

  static absl::StatusOr<ClassifierConfig> FromJson(const JsonConfig& json);
};

// Convolutions of 3x3 with group norm and SiLU, the mean over all places, one linear layer. Const
// after construction and thread-safe.
class ImageClassifier {
 public:
  // Takes conv.N.{weight,bias}, norm.N.{weight,bias} and head.{weight,bias} as they are (leaves of
  // autograd stay so).
  static absl::StatusOr<ImageClassifier> Load(const ClassifierConfig& config, StateDict& weights);
  // MODEL/config.json and MODEL/diffusion_pytorch_model.safetensors.
  static absl::StatusOr<ImageClassifier> LoadDirectory(const std::string& path,
                                                       c10::Device device = c10::kCPU);
  // Of its file of weights: tells judges apart.
  static absl::StatusOr<std::string> DirectorySha256(const std::string& path);

  const ClassifierConfig& config() const { return config_; }

  // pictures [n, 3, side, side] in [-1, 1], on any device -> [n, features] on the classifier's:
  // what the Frechet distance is measured on.
  at::Tensor Features(const at::Tensor& pictures) const;
  // -> [n, classes]
  at::Tensor Logits(const at::Tensor& features) const;

 private:
  struct Layer {
    at::Tensor conv_weight, conv_bias, norm_weight, norm_bias;
  };

  ClassifierConfig config_;
  std::vector<Layer> layers_;
  at::Tensor head_weight_, head_bias_;
};

// Random weights by ImageClassifier's names (He initialisation).
std::map<std::string, at::Tensor> InitialClassifier(const ClassifierConfig& config,
                                                    at::Generator generator);

}  // namespace ilf
