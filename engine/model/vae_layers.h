// The layers that an AutoencoderKL is made of. Feature maps are [images, channels, height, width].
#pragma once

#include <optional>
#include <string>

#include <ATen/core/Tensor.h>

#include "absl/status/statusor.h"
#include "engine/checkpoint/state_dict.h"
#include "engine/model/execution.h"

namespace ilf {

struct Conv2d {
  at::Tensor weight, bias;
  int64_t stride = 1;
  int64_t padding = 0;

  // A `size` x `size` kernel; padding keeps the feature map's size at stride 1.
  static absl::StatusOr<Conv2d> Load(StateDict& weights, const std::string& prefix, int64_t in,
                                     int64_t out, int64_t size, const Execution& execution);
  at::Tensor operator()(const at::Tensor& x) const;
};

struct GroupNorm {
  at::Tensor weight, bias;
  int64_t groups = 1;

  static absl::StatusOr<GroupNorm> Load(StateDict& weights, const std::string& prefix,
                                        int64_t channels, int64_t groups,
                                        const Execution& execution);
  at::Tensor operator()(const at::Tensor& x) const;
};

// Two normalised 3x3 convolutions beside a shortcut (diffusers ResnetBlock2D without time
// embedding).
struct ResnetBlock {
  GroupNorm norm1, norm2;
  Conv2d conv1, conv2;
  std::optional<Conv2d> shortcut;  // where the number of channels changes

  static absl::StatusOr<ResnetBlock> Load(StateDict& weights, const std::string& prefix, int64_t in,
                                          int64_t out, int64_t groups, const Execution& execution);
  at::Tensor operator()(const at::Tensor& x) const;
};

// Single-head attention over all positions, beside a shortcut (diffusers Attention in the mid
// block). Accepts the legacy names query, key, value and proj_attn.
struct SpatialAttention {
  GroupNorm norm;
  at::Tensor q_weight, q_bias, k_weight, k_bias, v_weight, v_bias, out_weight, out_bias;

  static absl::StatusOr<SpatialAttention> Load(StateDict& weights, const std::string& prefix,
                                               int64_t channels, int64_t groups,
                                               const Execution& execution);
  at::Tensor operator()(const at::Tensor& x) const;
};

// Resnet block, attention (when there is one), resnet block.
struct MidBlock {
  ResnetBlock first, second;
  std::optional<SpatialAttention> attention;

  static absl::StatusOr<MidBlock> Load(StateDict& weights, const std::string& prefix,
                                       int64_t channels, int64_t groups, bool with_attention,
                                       const Execution& execution);
  at::Tensor operator()(const at::Tensor& x) const;
};

}  // namespace ilf
