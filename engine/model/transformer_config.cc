#include "engine/model/transformer_config.h"

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"

namespace ilf {
namespace {

// Limits that keep a wrong file from asking for absurd amounts of memory.
constexpr int64_t kMaxDim = 16384;
constexpr int64_t kMaxLayers = 1024;
constexpr int64_t kMaxSide = 1024;
constexpr int64_t kMaxClasses = 1 << 20;
constexpr int64_t kInterpolationBase = 64;  // latent side that interpolation scale 1 stands for

absl::Status Wrong(const JsonConfig& json, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(json.origin(), ": ", what));
}

absl::StatusOr<Architecture> ReadArchitecture(const JsonConfig& json) {
  ILF_ASSIGN_OR_RETURN(const std::string class_name, json.GetString("_class_name", ""));
  const bool pixart = class_name == "PixArtTransformer2DModel";
  if (!pixart && class_name != "DiTTransformer2DModel" && class_name != "Transformer2DModel" &&
      !class_name.empty()) {
    return Wrong(json, absl::StrCat("_class_name '", class_name,
                                    "' is not supported, only DiTTransformer2DModel, "
                                    "PixArtTransformer2DModel and Transformer2DModel"));
  }
  ILF_ASSIGN_OR_RETURN(const std::string norm_type,
                       json.GetString("norm_type", pixart ? "ada_norm_single" : "ada_norm_zero"));
  if (norm_type == "ada_norm_zero" && !pixart) return Architecture::kDit;
  if (norm_type == "ada_norm_single" && class_name != "DiTTransformer2DModel") {
    return Architecture::kPixArt;
  }
  return Wrong(json, absl::StrCat("norm_type is '", norm_type,
                                  "'; a class-conditional DiT has 'ada_norm_zero', a PixArt "
                                  "'ada_norm_single'"));
}

absl::Status RefuseWhatWeCannot(const JsonConfig& json) {
  ILF_ASSIGN_OR_RETURN(const std::string activation,
                       json.GetString("activation_fn", "gelu-approximate"));
  if (activation != "gelu-approximate") {
    return Wrong(json, absl::StrCat("activation_fn '", activation,
                                    "' is not supported, only 'gelu-approximate'"));
  }
  ILF_ASSIGN_OR_RETURN(const bool affine, json.GetBool("norm_elementwise_affine", false));
  if (affine) return Wrong(json, "norm_elementwise_affine must be false");
  ILF_ASSIGN_OR_RETURN(const bool bias, json.GetBool("attention_bias", true));
  if (!bias) return Wrong(json, "attention_bias must be true");
  ILF_ASSIGN_OR_RETURN(const bool upcast, json.GetBool("upcast_attention", false));
  if (upcast) return Wrong(json, "upcast_attention is not supported");
  return absl::OkStatus();
}

absl::Status CheckRange(const JsonConfig& json, absl::string_view key, int64_t value, int64_t low,
                        int64_t high) {
  if (value >= low && value <= high) return absl::OkStatus();
  return Wrong(json, absl::StrCat(key, " is ", value, ", allowed is ", low, " to ", high));
}

absl::Status CheckRanges(const JsonConfig& json, const TransformerConfig& c) {
  ILF_RETURN_IF_ERROR(CheckRange(json, "num_attention_heads", c.num_attention_heads, 1, 1024));
  ILF_RETURN_IF_ERROR(CheckRange(json, "attention_head_dim", c.attention_head_dim, 1, 1024));
  ILF_RETURN_IF_ERROR(
      CheckRange(json, "num_attention_heads * attention_head_dim", c.dim(), 4, kMaxDim));
  ILF_RETURN_IF_ERROR(CheckRange(json, "num_layers", c.num_layers, 1, kMaxLayers));
  ILF_RETURN_IF_ERROR(CheckRange(json, "in_channels", c.in_channels, 1, 256));
  ILF_RETURN_IF_ERROR(CheckRange(json, "sample_size", c.sample_size, 1, kMaxSide));
  ILF_RETURN_IF_ERROR(CheckRange(json, "patch_size", c.patch_size, 1, c.sample_size));
  if (c.out_channels != c.in_channels && c.out_channels != 2 * c.in_channels) {
    return Wrong(json,
                 absl::StrCat("out_channels is ", c.out_channels, "; it must be in_channels (",
                              c.in_channels, ") or twice that"));
  }
  if (c.sample_size % c.patch_size != 0) {
    return Wrong(json, absl::StrCat("sample_size ", c.sample_size,
                                    " is not a multiple of patch_size ", c.patch_size));
  }
  if (c.dim() % 4 != 0) return Wrong(json, "the model width must be a multiple of 4");
  if (!(c.norm_eps > 0)) return Wrong(json, "norm_eps must be positive");
  return absl::OkStatus();
}

absl::Status ReadPixArt(const JsonConfig& json, TransformerConfig& c) {
  ILF_ASSIGN_OR_RETURN(c.caption_channels, json.GetInt("caption_channels", 0));
  ILF_ASSIGN_OR_RETURN(c.cross_attention_dim, json.GetInt("cross_attention_dim", c.dim()));
  ILF_ASSIGN_OR_RETURN(
      c.interpolation_scale,
      json.GetDouble("interpolation_scale", static_cast<double>(std::max<int64_t>(
                                                1, c.sample_size / kInterpolationBase))));
  if (json.Has("use_additional_conditions")) {
    ILF_ASSIGN_OR_RETURN(c.micro_conditions, json.GetBool("use_additional_conditions"));
  }
  ILF_RETURN_IF_ERROR(CheckRange(json, "caption_channels", c.caption_channels, 0, kMaxDim));
  ILF_RETURN_IF_ERROR(CheckRange(json, "cross_attention_dim", c.cross_attention_dim, 1, kMaxDim));
  if (c.caption_channels > 0 && c.cross_attention_dim != c.dim()) {
    return Wrong(json,
                 absl::StrCat("cross_attention_dim is ", c.cross_attention_dim,
                              "; with caption_channels it must be the model width, ", c.dim()));
  }
  if (!(c.interpolation_scale > 0)) return Wrong(json, "interpolation_scale must be positive");
  if (c.micro_conditions.value_or(false) && c.dim() % 3 != 0) {
    return Wrong(json, "with use_additional_conditions the model width must be a multiple of 3");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<TransformerConfig> TransformerConfig::FromJson(const JsonConfig& json) {
  TransformerConfig c;
  ILF_ASSIGN_OR_RETURN(c.architecture, ReadArchitecture(json));
  ILF_RETURN_IF_ERROR(RefuseWhatWeCannot(json));
  ILF_ASSIGN_OR_RETURN(const std::string class_name, json.GetString("_class_name", ""));
  ILF_ASSIGN_OR_RETURN(c.num_attention_heads, json.GetInt("num_attention_heads", 16));
  ILF_ASSIGN_OR_RETURN(c.attention_head_dim, json.GetInt("attention_head_dim", 72));
  ILF_ASSIGN_OR_RETURN(c.in_channels, json.GetInt("in_channels", 4));
  ILF_ASSIGN_OR_RETURN(c.out_channels, json.GetInt("out_channels", c.in_channels));
  ILF_ASSIGN_OR_RETURN(c.num_layers, json.GetInt("num_layers", 28));
  ILF_ASSIGN_OR_RETURN(c.sample_size, json.GetInt("sample_size", 32));
  ILF_ASSIGN_OR_RETURN(c.patch_size, json.GetInt("patch_size", 2));
  ILF_ASSIGN_OR_RETURN(
      c.norm_eps,
      json.GetDouble("norm_eps", class_name == "PixArtTransformer2DModel" ? 1e-6 : 1e-5));
  ILF_RETURN_IF_ERROR(CheckRanges(json, c));
  if (c.architecture == Architecture::kPixArt) {
    c.num_classes = 0;
    ILF_RETURN_IF_ERROR(ReadPixArt(json, c));
    return c;
  }
  ILF_ASSIGN_OR_RETURN(c.num_classes, json.GetInt("num_embeds_ada_norm", 1000));
  ILF_RETURN_IF_ERROR(CheckRange(json, "num_embeds_ada_norm", c.num_classes, 1, kMaxClasses));
  return c;
}

}  // namespace ilf
