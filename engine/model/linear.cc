#include "engine/model/linear.h"

#include <algorithm>
#include <utility>

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/zeros.h>
#include <c10/core/InferenceMode.h>

#include "engine/base/status_macros.h"
#include "engine/model/activation.h"
#include "engine/model/row_tiles.h"

namespace ilf {
namespace {

// Calls below 16 rows take other kernels; wide layers reach their full speed at 256 rows.
constexpr int64_t kConditionTile = 16;
constexpr int64_t kTokenTile = 32;
constexpr int64_t kWideTokenTile = 256;
constexpr int64_t kWideLayer = 512 * 512;  // in * out from which a layer counts as wide
constexpr int64_t kTokenProbeRows = 512;
constexpr int64_t kConditionProbeRows = 64;  // conditions are as many as a batch's rows: few
// What a call costs beside its rows, in multiplications: 14 us, measured on two cores at 110
// billion a second. Small next to a wide layer's row, large next to a narrow one's.
constexpr double kCallMultiplications = 1.6e6;
constexpr int64_t kPackHint = 256;  // rows that a packed weight is laid out for

// The CPU's packed product: private operators of LibTorch, looked up by name because they are
// absent or refuse to run on some builds and processors (docs/dependencies.md).
struct PackedOps {
  std::optional<c10::OperatorHandle> pack;
  std::optional<c10::OperatorHandle> product;
};

const PackedOps& Packed() {
  static const PackedOps ops = {
      c10::Dispatcher::singleton().findSchema({"mkldnn::_reorder_linear_weight", ""}),
      c10::Dispatcher::singleton().findSchema({"mkldnn::_linear_pointwise", ""})};
  return ops;
}

at::Tensor Pack(const at::Tensor& weight) {
  using Signature = at::Tensor(const at::Tensor&, std::optional<int64_t>);
  return Packed().pack->typed<Signature>().call(weight, kPackHint);
}

at::Tensor PackedProduct(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                         Activation activation) {
  using Signature = at::Tensor(
      const at::Tensor&, const at::Tensor&, const std::optional<at::Tensor>&, c10::string_view,
      c10::List<std::optional<at::Scalar>>, std::optional<c10::string_view>);
  const bool gelu = activation == Activation::kGeluTanh;
  return Packed().product->typed<Signature>().call(
      x, weight, bias.defined() ? std::optional(bias) : std::nullopt, gelu ? "gelu" : "none",
      c10::List<std::optional<at::Scalar>>(), gelu ? "tanh" : "");
}

// Runs the packed product once: only doing it shows whether this build and processor can.
bool CanPack(const Execution& execution) {
  if (execution.trainable || !execution.batch_invariant || !execution.device.is_cpu() ||
      !Packed().pack || !Packed().product) {
    return false;
  }
  try {
    const at::Tensor x = at::ones({16, 32}, execution.dtype);
    const at::Tensor y = PackedProduct(x, Pack(at::ones({32, 32}, execution.dtype)), at::Tensor(),
                                       Activation::kNone);
    return y.to(at::kFloat).eq(32.0).all().item<bool>();
  } catch (const c10::Error&) {
    return false;
  }
}

int64_t BaseTile(int64_t in, int64_t out, RowKind rows) {
  if (rows == RowKind::kConditions) return kConditionTile;
  return in * out >= kWideLayer ? kWideTokenTile : kTokenTile;
}

// A call of a narrow layer costs much beside its rows, and so does filling it: with sizes this
// close a batch of any size takes one call, filled little or not at all. A wide layer loses little
// by a second call, and its probe takes long.
std::vector<int64_t> TileCandidates(int64_t in, int64_t out) {
  if (in * out >= kWideLayer) return {16, 32, 64, 128, 256, 512};
  std::vector<int64_t> sizes;
  for (int64_t size = 16; size <= 512; size += 16) sizes.push_back(size);
  return sizes;
}

// Tile sizes above the number of rows are left out by the probe.
at::Tensor ProbeInput(int64_t in, RowKind rows, const Execution& execution) {
  const int64_t count = rows == RowKind::kTokens ? kTokenProbeRows : kConditionProbeRows;
  const at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(/*seed=*/1);
  return at::randn({count, in}, generator).to(execution.device, execution.dtype);
}

}  // namespace

LinearBuilder::LinearBuilder(const Execution& execution)
    : execution_(execution), packs_(CanPack(execution)) {}

at::Tensor Place(const at::Tensor& tensor, const Execution& execution) {
  if (execution.trainable) return tensor;
  return tensor.to(execution.device, execution.dtype);
}

absl::StatusOr<LinearWeights> TakeLinear(StateDict& weights, const std::string& prefix, int64_t in,
                                         int64_t out, const Execution& execution) {
  ILF_ASSIGN_OR_RETURN(at::Tensor weight, weights.Take(prefix + ".weight", {out, in}));
  ILF_ASSIGN_OR_RETURN(at::Tensor bias, weights.Take(prefix + ".bias", {out}));
  return LinearWeights{Place(weight, execution), Place(bias, execution)};
}

absl::StatusOr<Linear> Linear::Load(StateDict& weights, const std::string& prefix, int64_t in,
                                    int64_t out, RowKind rows, LinearBuilder& builder,
                                    Activation activation) {
  ILF_ASSIGN_OR_RETURN(LinearWeights layer,
                       TakeLinear(weights, prefix, in, out, builder.execution()));
  return Linear(layer.weight, layer.bias, rows, builder, activation);
}

Linear::Linear(const at::Tensor& weight, const at::Tensor& bias, RowKind rows,
               LinearBuilder& builder, Activation activation)
    : weight_(builder.packs_ ? Pack(weight) : weight),
      bias_(bias),
      activation_(activation),
      execution_(builder.execution_),
      packed_(builder.packs_),
      out_(weight.size(0)) {
  if (execution_.trainable || !execution_.batch_invariant) return;
  const int64_t in = weight.size(1);
  call_cost_ = kCallMultiplications / static_cast<double>(in * out_);
  const LinearBuilder::Shape shape = {in, out_, activation == Activation::kGeluTanh, rows};
  auto [entry, is_new] = builder.tiles_.try_emplace(shape);
  if (is_new) {
    c10::InferenceMode inference;
    entry->second = ProbeRowTiles(BaseTile(in, out_, rows), TileCandidates(in, out_),
                                  ProbeInput(in, rows, execution_),
                                  [this](const at::Tensor& x) { return Product(x); });
  }
  tiles_ = entry->second;
}

at::Tensor Linear::Product(const at::Tensor& rows) const {
  if (packed_) return PackedProduct(rows, weight_, bias_, activation_);
  const at::Tensor y = at::linear(rows, weight_, bias_);
  return activation_ == Activation::kGeluTanh ? GeluTanh(y, execution_) : y;
}

at::Tensor Linear::operator()(const at::Tensor& x) const {
  if (tiles_.empty()) return Product(x);
  std::vector<int64_t> shape = x.sizes().vec();
  const at::Tensor rows = x.reshape({-1, shape.back()});
  shape.back() = out_;
  const int64_t count = rows.size(0);

  std::vector<at::Tensor> parts;
  int64_t begin = 0;
  for (int64_t size : SplitRows(count, tiles_, call_cost_)) {
    const int64_t filled = std::min(size, count - begin);
    at::Tensor tile = rows.narrow(0, begin, filled);
    if (filled < size)
      tile = at::cat({tile, at::zeros({size - filled, rows.size(1)}, x.options())});
    parts.push_back(Product(tile));
    begin += filled;
  }
  const at::Tensor y = parts.size() == 1 ? parts[0] : at::cat(parts);
  return y.narrow(0, 0, count).reshape(shape);
}

}  // namespace ilf
