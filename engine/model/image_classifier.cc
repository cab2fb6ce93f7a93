#include "engine/model/image_classifier.h"

#include <cmath>
#include <map>
#include <utility>

#include <torch/types.h>

#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "engine/checkpoint/file_hash.h"

namespace ilf {
namespace {

constexpr int64_t kImageChannels = 3;
constexpr int64_t kKernel = 3;
constexpr char kWeights[] = "/diffusion_pytorch_model.safetensors";

}  // namespace

absl::StatusOr<ClassifierConfig> ClassifierConfig::FromJson(const JsonConfig& json) {
  ClassifierConfig config;
  ILF_ASSIGN_OR_RETURN(config.channels, json.GetIntList("channels"));
  ILF_ASSIGN_OR_RETURN(config.strides, json.GetIntList("strides"));
  ILF_ASSIGN_OR_RETURN(config.norm_groups, json.GetInt("norm_groups"));
  ILF_ASSIGN_OR_RETURN(config.classes, json.GetInt("classes"));
  ILF_ASSIGN_OR_RETURN(config.image_size, json.GetInt("image_size"));
  if (config.channels.empty() || config.channels.size() != config.strides.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat(json.origin(), ": channels and strides must be lists of one length"));
  }
  return config;
}

absl::StatusOr<ImageClassifier> ImageClassifier::Load(const ClassifierConfig& config,
                                                      StateDict& weights) {
  ImageClassifier classifier;
  classifier.config_ = config;
  int64_t in = kImageChannels;
  for (size_t i = 0; i < config.channels.size(); ++i) {
    const int64_t out = config.channels[i];
    Layer& layer = classifier.layers_.emplace_back();
    ILF_ASSIGN_OR_RETURN(layer.conv_weight, weights.Take(absl::StrCat("conv.", i, ".weight"),
                                                         {out, in, kKernel, kKernel}));
    ILF_ASSIGN_OR_RETURN(layer.conv_bias, weights.Take(absl::StrCat("conv.", i, ".bias"), {out}));
    ILF_ASSIGN_OR_RETURN(layer.norm_weight,
                         weights.Take(absl::StrCat("norm.", i, ".weight"), {out}));
    ILF_ASSIGN_OR_RETURN(layer.norm_bias, weights.Take(absl::StrCat("norm.", i, ".bias"), {out}));
    in = out;
  }
  ILF_ASSIGN_OR_RETURN(classifier.head_weight_, weights.Take("head.weight", {config.classes, in}));
  ILF_ASSIGN_OR_RETURN(classifier.head_bias_, weights.Take("head.bias", {config.classes}));
  ILF_RETURN_IF_ERROR(weights.CheckAllConsumed());
  return classifier;
}

absl::StatusOr<ImageClassifier> ImageClassifier::LoadDirectory(const std::string& path,
                                                               c10::Device device) {
  ILF_ASSIGN_OR_RETURN(const JsonConfig json, JsonConfig::Load(path + "/config.json"));
  ILF_ASSIGN_OR_RETURN(const ClassifierConfig config, ClassifierConfig::FromJson(json));
  ILF_ASSIGN_OR_RETURN(StateDict weights, StateDict::Load(path + kWeights));
  ILF_ASSIGN_OR_RETURN(ImageClassifier classifier, Load(config, weights));
  for (Layer& layer : classifier.layers_) {
    for (at::Tensor* tensor :
         {&layer.conv_weight, &layer.conv_bias, &layer.norm_weight, &layer.norm_bias}) {
      *tensor = tensor->to(device);
    }
  }
  classifier.head_weight_ = classifier.head_weight_.to(device);
  classifier.head_bias_ = classifier.head_bias_.to(device);
  return classifier;
}

absl::StatusOr<std::string> ImageClassifier::DirectorySha256(const std::string& path) {
  return FileSha256(path + kWeights);
}

at::Tensor ImageClassifier::Features(const at::Tensor& pictures) const {
  at::Tensor x = pictures.to(head_weight_.device());
  for (size_t i = 0; i < layers_.size(); ++i) {
    const Layer& layer = layers_[i];
    x = at::conv2d(x, layer.conv_weight, layer.conv_bias, config_.strides[i], /*padding=*/1);
    x = at::silu(
        at::group_norm(x.to(at::kFloat), config_.norm_groups, layer.norm_weight, layer.norm_bias));
  }
  return x.mean({2, 3});
}

at::Tensor ImageClassifier::Logits(const at::Tensor& features) const {
  return at::linear(features, head_weight_, head_bias_);
}

std::map<std::string, at::Tensor> InitialClassifier(const ClassifierConfig& config,
                                                    at::Generator generator) {
  std::map<std::string, at::Tensor> weights;
  int64_t in = kImageChannels;
  for (size_t i = 0; i < config.channels.size(); ++i) {
    const int64_t out = config.channels[i];
    const double std = std::sqrt(2.0 / static_cast<double>(in * kKernel * kKernel));
    weights[absl::StrCat("conv.", i, ".weight")] =
        at::randn({out, in, kKernel, kKernel}, generator) * std;
    weights[absl::StrCat("conv.", i, ".bias")] = at::zeros({out});
    weights[absl::StrCat("norm.", i, ".weight")] = at::ones({out});
    weights[absl::StrCat("norm.", i, ".bias")] = at::zeros({out});
    in = out;
  }
  weights["head.weight"] = at::zeros({config.classes, in});
  weights["head.bias"] = at::zeros({config.classes});
  return weights;
}

}  // namespace ilf
