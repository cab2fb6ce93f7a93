// y = x W^T + b for the rows of x, in one of three ways: plain (training), on fixed row tiles
// (inference), or on fixed row tiles with the weight packed once for the CPU's kernels.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include <ATen/core/Tensor.h>

#include "absl/status/statusor.h"
#include "engine/checkpoint/state_dict.h"
#include "engine/model/execution.h"

namespace ilf {

// What the rows of a layer are; it decides the base tile (see linear.cc).
enum class RowKind { kTokens, kConditions };

// Knows the tile sizes of each layer shape of one model. Used while the model is made; not
// thread-safe.
class LinearBuilder {
 public:
  explicit LinearBuilder(const Execution& execution);

  const Execution& execution() const { return execution_; }

 private:
  friend class Linear;
  using Shape = std::tuple<int64_t, int64_t, bool, RowKind>;  // in, out, with GELU, rows
  const Execution execution_;
  const bool packs_;  // the CPU's packed product works here
  std::map<Shape, std::vector<int64_t>> tiles_;
};

enum class Activation { kNone, kGeluTanh };

class Linear {
 public:
  Linear() = default;
  // weight [out, in], bias [out] or undefined. `activation` is applied to the output.
  Linear(const at::Tensor& weight, const at::Tensor& bias, RowKind rows, LinearBuilder& builder,
         Activation activation = Activation::kNone);

  // Takes `prefix`.weight [out, in] and `prefix`.bias [out] from `weights`.
  static absl::StatusOr<Linear> Load(StateDict& weights, const std::string& prefix, int64_t in,
                                     int64_t out, RowKind rows, LinearBuilder& builder,
                                     Activation activation = Activation::kNone);

  // x [..., in] -> [..., out]. Thread-safe.
  at::Tensor operator()(const at::Tensor& x) const;

 private:
  at::Tensor Product(const at::Tensor& rows) const;  // [n, in] -> [n, out], one call

  at::Tensor weight_;  // [out, in], or packed
  at::Tensor bias_;
  Activation activation_ = Activation::kNone;
  Execution execution_;
  bool packed_ = false;
  int64_t out_ = 0;
  std::vector<int64_t> tiles_;  // empty: one call for all rows
  double call_cost_ = 0.0;      // of a tile's call beside its rows, in rows
};

// The tensors of one linear layer in the execution's device and dtype (unchanged when it is
// trainable).
struct LinearWeights {
  at::Tensor weight;
  at::Tensor bias;
};
absl::StatusOr<LinearWeights> TakeLinear(StateDict& weights, const std::string& prefix, int64_t in,
                                         int64_t out, const Execution& execution);

// `tensor` where and in what `execution` computes; itself when trainable.
at::Tensor Place(const at::Tensor& tensor, const Execution& execution);

}  // namespace ilf
