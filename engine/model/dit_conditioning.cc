#include "engine/model/dit_conditioning.h"

#include <utility>

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/embedding.h>
#include <ATen/ops/equal.h>

#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "engine/model/activation.h"
#include "engine/model/embeddings.h"

namespace ilf {
namespace {

constexpr double kFrequencyShift = 1.0;

std::string EmbedderPrefix(int64_t block) {
  return absl::StrCat("transformer_blocks.", block, ".norm1.emb");
}

std::string ModulationPrefix(int64_t block) {
  return absl::StrCat("transformer_blocks.", block, ".norm1.linear");
}

absl::StatusOr<std::vector<at::Tensor>> TakeEmbedder(StateDict& weights, const std::string& prefix,
                                                     const DitConfig& config) {
  const int64_t dim = config.dim();
  const std::pair<const char*, std::vector<int64_t>> parts[] = {
      {".timestep_embedder.linear_1.weight", {dim, kTimestepDim}},
      {".timestep_embedder.linear_1.bias", {dim}},
      {".timestep_embedder.linear_2.weight", {dim, dim}},
      {".timestep_embedder.linear_2.bias", {dim}},
      {".class_embedder.embedding_table.weight", {config.num_classes + 1, dim}}};
  std::vector<at::Tensor> tensors;
  for (const auto& [name, shape] : parts) {
    ILF_ASSIGN_OR_RETURN(at::Tensor tensor, weights.Take(prefix + name, shape));
    tensors.push_back(std::move(tensor));
  }
  return tensors;
}

// Also takes every block's copy, so that each is checked and consumed.
absl::StatusOr<bool> EmbeddersAreEqual(StateDict& weights, const DitConfig& config) {
  ILF_ASSIGN_OR_RETURN(const std::vector<at::Tensor> first,
                       TakeEmbedder(weights, EmbedderPrefix(0), config));
  bool equal = true;
  for (int64_t block = 1; block < config.num_layers; ++block) {
    ILF_ASSIGN_OR_RETURN(const std::vector<at::Tensor> copy,
                         TakeEmbedder(weights, EmbedderPrefix(block), config));
    for (size_t i = 0; i < first.size(); ++i) {
      equal = equal && (first[i].is_same(copy[i]) || at::equal(first[i], copy[i]));
    }
  }
  return equal;
}

}  // namespace

absl::StatusOr<ConditionEmbedder> ConditionEmbedder::Load(StateDict& weights,
                                                          const std::string& prefix,
                                                          const DitConfig& config,
                                                          LinearBuilder& builder) {
  const int64_t dim = config.dim();
  ConditionEmbedder embedder;
  embedder.execution_ = builder.execution();
  ILF_ASSIGN_OR_RETURN(embedder.linear_1_,
                       Linear::Load(weights, prefix + ".timestep_embedder.linear_1", kTimestepDim,
                                    dim, RowKind::kConditions, builder));
  ILF_ASSIGN_OR_RETURN(embedder.linear_2_,
                       Linear::Load(weights, prefix + ".timestep_embedder.linear_2", dim, dim,
                                    RowKind::kConditions, builder));
  ILF_ASSIGN_OR_RETURN(const at::Tensor table,
                       weights.Take(prefix + ".class_embedder.embedding_table.weight",
                                    {config.num_classes + 1, dim}));
  embedder.class_table_ = Place(table, builder.execution());
  return embedder;
}

at::Tensor ConditionEmbedder::operator()(const at::Tensor& timesteps,
                                         const at::Tensor& classes) const {
  const at::Tensor sinusoid = TimestepEmbedding(timesteps, kTimestepDim, kFrequencyShift);
  const at::Tensor timestep = linear_2_(Silu(linear_1_(sinusoid), execution_));
  return Silu(timestep + at::embedding(class_table_, classes), execution_);
}

absl::StatusOr<DitConditioning> DitConditioning::Load(StateDict& weights, const DitConfig& config,
                                                      LinearBuilder& builder) {
  const Execution& execution = builder.execution();
  const int64_t dim = config.dim();
  DitConditioning conditioning;
  conditioning.num_layers_ = config.num_layers;
  ILF_ASSIGN_OR_RETURN(const bool shared, EmbeddersAreEqual(weights, config));
  LinearBuilder float32_builder(execution.InFloat32());
  const Execution& float32 = float32_builder.execution();
  for (int64_t block = 0; block < (shared ? 1 : config.num_layers); ++block) {
    ILF_ASSIGN_OR_RETURN(
        ConditionEmbedder embedder,
        ConditionEmbedder::Load(weights, EmbedderPrefix(block), config, float32_builder));
    conditioning.embedders_.push_back(std::move(embedder));
  }

  std::vector<at::Tensor> merged_weights, merged_biases;
  for (int64_t block = 0; block < config.num_layers; ++block) {
    ILF_ASSIGN_OR_RETURN(LinearWeights layer, TakeLinear(weights, ModulationPrefix(block), dim,
                                                         kBlockModulations * dim, float32));
    if (!shared || execution.trainable) {
      conditioning.modulations_.emplace_back(layer.weight, layer.bias, RowKind::kConditions,
                                             float32_builder);
    }
    merged_weights.push_back(layer.weight);
    merged_biases.push_back(layer.bias);
  }
  if (conditioning.modulations_.empty()) {
    conditioning.modulations_.emplace_back(at::cat(merged_weights), at::cat(merged_biases),
                                           RowKind::kConditions, float32_builder);
  }
  return conditioning;
}

DitCondition::DitCondition(at::Tensor embedding, std::vector<at::Tensor> modulations,
                           int64_t num_layers)
    : embedding_(std::move(embedding)),
      modulations_(std::move(modulations)),
      num_layers_(num_layers) {}

BlockModulation DitCondition::Block(int64_t block) const {
  if (modulations_.size() > 1) return SplitModulation(modulations_[block]);
  const int64_t width = modulations_[0].size(-1) / num_layers_;
  return SplitModulation(modulations_[0].narrow(-1, block * width, width));
}

DitCondition DitCondition::Rows(const at::Tensor& index) const {
  std::vector<at::Tensor> modulations;
  for (const at::Tensor& modulation : modulations_) {
    modulations.push_back(modulation.index_select(0, index));
  }
  return {embedding_.index_select(0, index), std::move(modulations), num_layers_};
}

DitCondition DitConditioning::operator()(const at::Tensor& timesteps,
                                         const at::Tensor& classes) const {
  std::vector<at::Tensor> embeddings;
  for (const ConditionEmbedder& embedder : embedders_) {
    embeddings.push_back(embedder(timesteps, classes));
  }
  std::vector<at::Tensor> modulations;
  for (size_t i = 0; i < modulations_.size(); ++i) {
    modulations.push_back(modulations_[i](embeddings[embeddings.size() == 1 ? 0 : i]));
  }
  return {embeddings[0], std::move(modulations), num_layers_};
}

}  // namespace ilf
