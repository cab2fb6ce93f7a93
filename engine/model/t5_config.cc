#include "engine/model/t5_config.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"

namespace ilf {
namespace {

absl::Status Wrong(const JsonConfig& json, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(json.origin(), ": ", what));
}

// A whole number that must be there, and be 1 to `most`.
absl::StatusOr<int64_t> ReadSize(const JsonConfig& json, absl::string_view key, int64_t most,
                                 std::optional<int64_t> fallback = {}) {
  ILF_ASSIGN_OR_RETURN(const int64_t value, json.GetInt(key, fallback));
  if (value >= 1 && value <= most) return value;
  return Wrong(json, absl::StrCat(key, " is ", value, ", allowed is 1 to ", most));
}

}  // namespace

absl::StatusOr<T5Config> T5Config::FromJson(const JsonConfig& json) {
  T5Config c;
  ILF_ASSIGN_OR_RETURN(const std::string type, json.GetString("model_type", "t5"));
  if (type != "t5") return Wrong(json, absl::StrCat("model_type is '", type, "', only t5 is read"));
  ILF_ASSIGN_OR_RETURN(c.vocab_size, ReadSize(json, "vocab_size", 1 << 22));
  ILF_ASSIGN_OR_RETURN(c.d_model, ReadSize(json, "d_model", 1 << 16));
  ILF_ASSIGN_OR_RETURN(c.d_kv, ReadSize(json, "d_kv", 1 << 12));
  ILF_ASSIGN_OR_RETURN(c.d_ff, ReadSize(json, "d_ff", 1 << 18));
  ILF_ASSIGN_OR_RETURN(c.num_layers, ReadSize(json, "num_layers", 1024));
  ILF_ASSIGN_OR_RETURN(c.num_heads, ReadSize(json, "num_heads", 1024));
  ILF_ASSIGN_OR_RETURN(c.relative_attention_num_buckets,
                       ReadSize(json, "relative_attention_num_buckets", 4096, 32));
  ILF_ASSIGN_OR_RETURN(c.relative_attention_max_distance,
                       ReadSize(json, "relative_attention_max_distance", 1 << 20, 128));
  if (c.relative_attention_num_buckets < 4 ||
      c.relative_attention_max_distance <= c.relative_attention_num_buckets / 4) {
    return Wrong(json,
                 "relative_attention_num_buckets must be at least 4, and "
                 "relative_attention_max_distance greater than a quarter of it");
  }
  ILF_ASSIGN_OR_RETURN(c.layer_norm_epsilon, json.GetDouble("layer_norm_epsilon", 1e-6));
  if (!(c.layer_norm_epsilon > 0)) return Wrong(json, "layer_norm_epsilon must be positive");
  ILF_ASSIGN_OR_RETURN(const std::string feed_forward, json.GetString("feed_forward_proj", "relu"));
  if (feed_forward != "gated-gelu" && feed_forward != "relu") {
    return Wrong(json, absl::StrCat("feed_forward_proj '", feed_forward,
                                    "' is not supported, only gated-gelu and relu"));
  }
  c.gated = feed_forward == "gated-gelu";
  return c;
}

}  // namespace ilf
