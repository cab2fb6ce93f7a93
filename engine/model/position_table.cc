#include "engine/model/position_table.h"

#include "engine/model/embeddings.h"

namespace ilf {

PositionTable::PositionTable(const TransformerConfig& config, c10::Device device)
    : dim_(config.dim()),
      base_(config.tokens_per_side()),
      interpolation_scale_(config.interpolation_scale),
      device_(device) {}

at::Tensor PositionTable::operator()(const TokenGrid& grid) const {
  const absl::MutexLock lock(&mutex_);
  at::Tensor& table = tables_[{grid.height, grid.width}];
  if (!table.defined()) {
    table =
        PositionEmbedding(dim_, grid.height, grid.width, base_, interpolation_scale_).to(device_);
  }
  return table;
}

}  // namespace ilf
