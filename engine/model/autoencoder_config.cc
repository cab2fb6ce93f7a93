#include "engine/model/autoencoder_config.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"

namespace ilf {
namespace {

constexpr int64_t kMaxChannels = 8192;
constexpr size_t kMaxLevels = 8;
constexpr int64_t kMaxLayers = 16;

absl::Status Wrong(const JsonConfig& json, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(json.origin(), ": ", what));
}

absl::Status CheckBlockTypes(const JsonConfig& json, absl::string_view key,
                             const std::string& expected) {
  ILF_ASSIGN_OR_RETURN(const std::vector<std::string> types,
                       json.GetStringList(key, std::vector<std::string>{}));
  for (const std::string& type : types) {
    if (type != expected) {
      return Wrong(json,
                   absl::StrCat(key, " has '", type, "', supported is only '", expected, "'"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckKind(const JsonConfig& json) {
  ILF_ASSIGN_OR_RETURN(const std::string class_name,
                       json.GetString("_class_name", "AutoencoderKL"));
  if (class_name != "AutoencoderKL") {
    return Wrong(json, absl::StrCat("_class_name is '", class_name, "', expected 'AutoencoderKL'"));
  }
  ILF_RETURN_IF_ERROR(CheckBlockTypes(json, "down_block_types", "DownEncoderBlock2D"));
  ILF_RETURN_IF_ERROR(CheckBlockTypes(json, "up_block_types", "UpDecoderBlock2D"));
  ILF_ASSIGN_OR_RETURN(const std::string act, json.GetString("act_fn", "silu"));
  if (act != "silu") return Wrong(json, absl::StrCat("act_fn '", act, "' is not supported"));
  for (const char* key : {"latents_mean", "latents_std", "shift_factor"}) {
    if (json.Has(key)) return Wrong(json, absl::StrCat(key, " is not supported"));
  }
  return absl::OkStatus();
}

absl::Status CheckRanges(const JsonConfig& json, const AutoencoderConfig& c) {
  if (c.image_channels != 3) return Wrong(json, "in_channels and out_channels must be 3 (RGB)");
  if (c.latent_channels < 1 || c.latent_channels > 256) {
    return Wrong(json, "latent_channels must be 1 to 256");
  }
  if (c.block_out_channels.empty() || c.block_out_channels.size() > kMaxLevels) {
    return Wrong(json, absl::StrCat("block_out_channels must list 1 to ", kMaxLevels, " levels"));
  }
  if (c.norm_num_groups < 1) return Wrong(json, "norm_num_groups must be at least 1");
  for (int64_t channels : c.block_out_channels) {
    if (channels < 1 || channels > kMaxChannels || channels % c.norm_num_groups != 0) {
      return Wrong(json, absl::StrCat("block_out_channels has ", channels,
                                      "; each must be a multiple of norm_num_groups (",
                                      c.norm_num_groups, ") up to ", kMaxChannels));
    }
  }
  if (c.layers_per_block < 1 || c.layers_per_block > kMaxLayers) {
    return Wrong(json, absl::StrCat("layers_per_block must be 1 to ", kMaxLayers));
  }
  if (!(c.scaling_factor > 0)) return Wrong(json, "scaling_factor must be positive");
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<AutoencoderConfig> AutoencoderConfig::FromJson(const JsonConfig& json) {
  ILF_RETURN_IF_ERROR(CheckKind(json));
  AutoencoderConfig c;
  ILF_ASSIGN_OR_RETURN(c.image_channels, json.GetInt("in_channels", 3));
  ILF_ASSIGN_OR_RETURN(const int64_t out_channels, json.GetInt("out_channels", 3));
  if (out_channels != c.image_channels) {
    return Wrong(json, "in_channels and out_channels must be 3 (RGB)");
  }
  ILF_ASSIGN_OR_RETURN(c.latent_channels, json.GetInt("latent_channels", 4));
  ILF_ASSIGN_OR_RETURN(c.block_out_channels,
                       json.GetIntList("block_out_channels", std::vector<int64_t>{64}));
  ILF_ASSIGN_OR_RETURN(c.layers_per_block, json.GetInt("layers_per_block", 1));
  ILF_ASSIGN_OR_RETURN(c.norm_num_groups, json.GetInt("norm_num_groups", 32));
  ILF_ASSIGN_OR_RETURN(c.scaling_factor, json.GetDouble("scaling_factor", 0.18215));
  ILF_ASSIGN_OR_RETURN(c.use_quant_conv, json.GetBool("use_quant_conv", true));
  ILF_ASSIGN_OR_RETURN(c.use_post_quant_conv, json.GetBool("use_post_quant_conv", true));
  ILF_ASSIGN_OR_RETURN(c.mid_block_add_attention, json.GetBool("mid_block_add_attention", true));
  ILF_RETURN_IF_ERROR(CheckRanges(json, c));
  return c;
}

}  // namespace ilf
