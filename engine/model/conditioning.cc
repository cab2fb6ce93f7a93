#include "engine/model/conditioning.h"

#include "engine/base/status_macros.h"
#include "engine/model/activation.h"
#include "engine/model/embeddings.h"

namespace ilf {

absl::StatusOr<SinusoidEmbedder> SinusoidEmbedder::Load(StateDict& weights,
                                                        const std::string& prefix, int64_t dim,
                                                        double frequency_shift,
                                                        LinearBuilder& builder) {
  SinusoidEmbedder embedder;
  embedder.execution_ = builder.execution();
  embedder.frequency_shift_ = frequency_shift;
  ILF_ASSIGN_OR_RETURN(embedder.linear_1_, Linear::Load(weights, prefix + ".linear_1", kTimestepDim,
                                                        dim, RowKind::kConditions, builder));
  ILF_ASSIGN_OR_RETURN(embedder.linear_2_, Linear::Load(weights, prefix + ".linear_2", dim, dim,
                                                        RowKind::kConditions, builder));
  return embedder;
}

at::Tensor SinusoidEmbedder::operator()(const at::Tensor& values) const {
  const at::Tensor sinusoid = TimestepEmbedding(values, kTimestepDim, frequency_shift_);
  return linear_2_(Silu(linear_1_(sinusoid), execution_));
}

}  // namespace ilf
