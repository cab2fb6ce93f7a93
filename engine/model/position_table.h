// The position embeddings of the grids that a model is asked for, each made once.
#pragma once

#include <cstdint>
#include <map>
#include <utility>

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "engine/model/token_layout.h"
#include "engine/model/transformer_config.h"

namespace ilf {

// Thread-safe.
class PositionTable {
 public:
  PositionTable(const TransformerConfig& config, c10::Device device);

  // [height * width, dim] float32; see PositionEmbedding.
  at::Tensor operator()(const TokenGrid& grid) const;

 private:
  const int64_t dim_;
  const int64_t base_;
  const double interpolation_scale_;
  const c10::Device device_;
  mutable absl::Mutex mutex_;
  // As many as there are sizes of pictures; a model makes a bounded number of them.
  mutable std::map<std::pair<int64_t, int64_t>, at::Tensor> tables_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace ilf
