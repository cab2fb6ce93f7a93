#include <memory>
#include <utility>

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/embedding.h>
#include <ATen/ops/equal.h>

#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "engine/model/activation.h"
#include "engine/model/conditioning.h"

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
                                                     const TransformerConfig& config) {
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
absl::StatusOr<bool> EmbeddersAreEqual(StateDict& weights, const TransformerConfig& config) {
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

// Timestep and class as one vector (diffusers CombinedTimestepLabelEmbeddings), in float32
// throughout.
class ConditionEmbedder {
 public:
  // `prefix` is "transformer_blocks.N.norm1.emb".
  static absl::StatusOr<ConditionEmbedder> Load(StateDict& weights, const std::string& prefix,
                                                const TransformerConfig& config,
                                                LinearBuilder& builder) {
    ConditionEmbedder embedder;
    embedder.execution_ = builder.execution();
    ILF_ASSIGN_OR_RETURN(embedder.timestep_,
                         SinusoidEmbedder::Load(weights, prefix + ".timestep_embedder",
                                                config.dim(), kFrequencyShift, builder));
    ILF_ASSIGN_OR_RETURN(const at::Tensor table,
                         weights.Take(prefix + ".class_embedder.embedding_table.weight",
                                      {config.num_classes + 1, config.dim()}));
    embedder.class_table_ = Place(table, builder.execution());
    return embedder;
  }

  // timesteps [rows] float32, classes [rows] int64 -> SiLU(embedding) [rows, dim] float32.
  at::Tensor operator()(const at::Tensor& timesteps, const at::Tensor& classes) const {
    return Silu(timestep_(timesteps) + at::embedding(class_table_, classes), execution_);
  }

 private:
  Execution execution_;
  SinusoidEmbedder timestep_;
  at::Tensor class_table_;  // [classes + 1, dim]; the last row is the null class
};

class DitConditioning final : public Conditioning {
 public:
  static absl::StatusOr<std::unique_ptr<Conditioning>> Load(StateDict& weights,
                                                            const TransformerConfig& config,
                                                            LinearBuilder& builder);

  TransformerCondition::Parts operator()(const at::Tensor& timesteps,
                                         const RowConditions& rows) const override;

 private:
  std::vector<ConditionEmbedder> embedders_;  // one, or one a block
  std::vector<Linear> modulations_;           // one of all blocks, or one a block
  Linear final_modulation_;                   // shift, scale
  int64_t num_layers_ = 0;
};

absl::StatusOr<std::unique_ptr<Conditioning>> DitConditioning::Load(StateDict& weights,
                                                                    const TransformerConfig& config,
                                                                    LinearBuilder& builder) {
  const Execution& execution = builder.execution();
  const int64_t dim = config.dim();
  auto conditioning = std::make_unique<DitConditioning>();
  conditioning->num_layers_ = config.num_layers;
  ILF_ASSIGN_OR_RETURN(const bool shared, EmbeddersAreEqual(weights, config));
  for (int64_t block = 0; block < (shared ? 1 : config.num_layers); ++block) {
    ILF_ASSIGN_OR_RETURN(ConditionEmbedder embedder,
                         ConditionEmbedder::Load(weights, EmbedderPrefix(block), config, builder));
    conditioning->embedders_.push_back(std::move(embedder));
  }

  std::vector<at::Tensor> merged_weights, merged_biases;
  for (int64_t block = 0; block < config.num_layers; ++block) {
    ILF_ASSIGN_OR_RETURN(LinearWeights layer, TakeLinear(weights, ModulationPrefix(block), dim,
                                                         kBlockModulations * dim, execution));
    if (!shared || execution.trainable) {
      conditioning->modulations_.emplace_back(layer.weight, layer.bias, RowKind::kConditions,
                                              builder);
    }
    merged_weights.push_back(layer.weight);
    merged_biases.push_back(layer.bias);
  }
  if (conditioning->modulations_.empty()) {
    conditioning->modulations_.emplace_back(at::cat(merged_weights), at::cat(merged_biases),
                                            RowKind::kConditions, builder);
  }
  ILF_ASSIGN_OR_RETURN(
      conditioning->final_modulation_,
      Linear::Load(weights, "proj_out_1", dim, 2 * dim, RowKind::kConditions, builder));
  return conditioning;
}

TransformerCondition::Parts DitConditioning::operator()(const at::Tensor& timesteps,
                                                        const RowConditions& rows) const {
  std::vector<at::Tensor> embeddings;
  for (const ConditionEmbedder& embedder : embedders_) {
    embeddings.push_back(embedder(timesteps, rows.classes));
  }
  TransformerCondition::Parts parts;
  for (size_t i = 0; i < modulations_.size(); ++i) {
    parts.modulations.push_back(modulations_[i](embeddings[embeddings.size() == 1 ? 0 : i]));
  }
  parts.final_modulation = final_modulation_(embeddings[0]);
  parts.embedding = embeddings[0];
  parts.num_layers = num_layers_;
  return parts;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Conditioning>> LoadDitConditioning(StateDict& weights,
                                                                  const TransformerConfig& config,
                                                                  LinearBuilder& builder) {
  return DitConditioning::Load(weights, config, builder);
}

}  // namespace ilf
