#include <memory>
#include <utility>

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/stack.h>

#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "engine/model/activation.h"
#include "engine/model/conditioning.h"

namespace ilf {
namespace {

constexpr double kFrequencyShift = 0.0;
constexpr char kPrefix[] = "adaln_single";

class PixArtConditioning final : public Conditioning {
 public:
  static absl::StatusOr<std::unique_ptr<Conditioning>> Load(StateDict& weights,
                                                            const TransformerConfig& config,
                                                            LinearBuilder& builder);

  TransformerCondition::Parts operator()(const at::Tensor& timesteps,
                                         const RowConditions& rows) const override;

 private:
  at::Tensor Embed(const at::Tensor& timesteps, const at::Tensor& picture_sizes) const;

  Execution execution_;
  SinusoidEmbedder timestep_;
  std::optional<SinusoidEmbedder> resolution_, aspect_ratio_;
  Linear modulation_;
  std::vector<at::Tensor> block_tables_;  // of each block, [6 * dim]; stacked in each pass, because
                                          // while training they change
  at::Tensor final_table_;                // [2, dim]
};

absl::StatusOr<std::unique_ptr<Conditioning>> PixArtConditioning::Load(
    StateDict& weights, const TransformerConfig& config, LinearBuilder& builder) {
  const int64_t dim = config.dim();
  const Execution& execution = builder.execution();
  const auto embedder = [&](const char* name, int64_t width) {
    return SinusoidEmbedder::Load(weights, absl::StrCat(kPrefix, ".emb.", name), width,
                                  kFrequencyShift, builder);
  };
  auto conditioning = std::make_unique<PixArtConditioning>();
  conditioning->execution_ = execution;
  ILF_ASSIGN_OR_RETURN(conditioning->timestep_, embedder("timestep_embedder", dim));
  if (config.micro_conditions.value_or(false)) {
    ILF_ASSIGN_OR_RETURN(conditioning->resolution_, embedder("resolution_embedder", dim / 3));
    ILF_ASSIGN_OR_RETURN(conditioning->aspect_ratio_, embedder("aspect_ratio_embedder", dim / 3));
  }
  ILF_ASSIGN_OR_RETURN(conditioning->modulation_,
                       Linear::Load(weights, absl::StrCat(kPrefix, ".linear"), dim,
                                    kBlockModulations * dim, RowKind::kConditions, builder));
  for (int64_t block = 0; block < config.num_layers; ++block) {
    ILF_ASSIGN_OR_RETURN(
        const at::Tensor table,
        weights.Take(absl::StrCat("transformer_blocks.", block, ".scale_shift_table"),
                     {kBlockModulations, dim}));
    conditioning->block_tables_.push_back(Place(table, execution).flatten());
  }
  ILF_ASSIGN_OR_RETURN(const at::Tensor final_table, weights.Take("scale_shift_table", {2, dim}));
  conditioning->final_table_ = Place(final_table, execution);
  return conditioning;
}

// -> [rows, dim]
at::Tensor PixArtConditioning::Embed(const at::Tensor& timesteps,
                                     const at::Tensor& picture_sizes) const {
  const at::Tensor timestep = timestep_(timesteps);
  if (!resolution_) return timestep;
  const at::Tensor ratios = picture_sizes.select(1, 0) / picture_sizes.select(1, 1);
  const at::Tensor sides = (*resolution_)(picture_sizes.flatten()).reshape({timestep.size(0), -1});
  return timestep + at::cat({sides, (*aspect_ratio_)(ratios)}, 1);
}

TransformerCondition::Parts PixArtConditioning::operator()(const at::Tensor& timesteps,
                                                           const RowConditions& rows) const {
  const at::Tensor embedding = Embed(timesteps, rows.picture_sizes);
  TransformerCondition::Parts parts;
  parts.num_layers = static_cast<int64_t>(block_tables_.size());
  parts.embedding = modulation_(Silu(embedding, execution_)).to(at::kFloat);
  parts.modulations = {(parts.embedding.unsqueeze(1) + at::stack(block_tables_)).flatten(1)};
  parts.final_modulation = (embedding.to(at::kFloat).unsqueeze(1) + final_table_).flatten(1);
  parts.prompts = rows.prompts;
  return parts;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Conditioning>> LoadPixArtConditioning(
    StateDict& weights, const TransformerConfig& config, LinearBuilder& builder) {
  return PixArtConditioning::Load(weights, config, builder);
}

}  // namespace ilf
