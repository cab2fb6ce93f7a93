#include "engine/model/feedback_module.h"

#include <string>
#include <utility>

#include <ATen/TensorOperators.h>

#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"

namespace ilf {
namespace {

constexpr char kBlock[] = "block";
constexpr int64_t kMaxExtraLoops = 8;

absl::StatusOr<int64_t> ReadInt(const JsonConfig& json, absl::string_view key, int64_t least,
                                int64_t most, std::optional<int64_t> fallback = {}) {
  ILF_ASSIGN_OR_RETURN(const int64_t value, json.GetInt(key, fallback));
  if (value >= least && value <= most) return value;
  return absl::InvalidArgumentError(
      absl::StrCat(json.origin(), ": ", key, " must be ", least, " to ", most, ", is ", value));
}

absl::StatusOr<FeedbackTimestep> ReadTimestep(const JsonConfig& json, absl::string_view key) {
  ILF_ASSIGN_OR_RETURN(const std::string name, json.GetString(key, "source"));
  if (name == "source") return FeedbackTimestep::kSource;
  if (name == "target") return FeedbackTimestep::kTarget;
  return absl::InvalidArgumentError(
      absl::StrCat(json.origin(), ": ", key, " must be source or target, is '", name, "'"));
}

}  // namespace

absl::StatusOr<FeedbackConfig> FeedbackConfig::FromJson(const JsonConfig& json,
                                                        const TransformerConfig& backbone) {
  FeedbackConfig config;
  ILF_ASSIGN_OR_RETURN(config.inner.begin,
                       ReadInt(json, "first_inner_block", 0, backbone.num_layers - 1));
  ILF_ASSIGN_OR_RETURN(const int64_t length,
                       ReadInt(json, "inner_blocks", 1, backbone.num_layers - config.inner.begin));
  config.inner.end = config.inner.begin + length;
  ILF_ASSIGN_OR_RETURN(const int64_t loops, ReadInt(json, "extra_loops", 1, kMaxExtraLoops, 1));
  config.extra_loops = static_cast<int>(loops);
  ILF_ASSIGN_OR_RETURN(config.feedback_timestep, ReadTimestep(json, "feedback_timestep"));
  ILF_ASSIGN_OR_RETURN(config.inner_timestep, ReadTimestep(json, "inner_timestep"));
  ILF_ASSIGN_OR_RETURN(config.deep_timestep, ReadTimestep(json, "deep_timestep"));
  return config;
}

absl::StatusOr<FeedbackModule> FeedbackModule::Load(const FeedbackConfig& config,
                                                    const TransformerConfig& backbone,
                                                    StateDict& weights,
                                                    const Execution& execution) {
  LinearBuilder builder(execution);
  LinearBuilder float32_builder(execution.InFloat32());
  FeedbackModule module(config);
  const int64_t dim = backbone.dim();
  module.prompt_place_ = backbone.num_layers;
  if (backbone.architecture == Architecture::kDit) {
    ILF_ASSIGN_OR_RETURN(
        module.modulation_,
        Linear::Load(weights, absl::StrCat(kBlock, ".norm1.linear"), dim, kBlockModulations * dim,
                     RowKind::kConditions, float32_builder));
  } else {
    ILF_ASSIGN_OR_RETURN(
        const at::Tensor table,
        weights.Take(absl::StrCat(kBlock, ".scale_shift_table"), {kBlockModulations, dim}));
    module.modulation_table_ = Place(table, float32_builder.execution()).flatten();
  }
  ILF_ASSIGN_OR_RETURN(module.block_, TransformerBlock::Load(weights, kBlock, backbone, builder));
  ILF_ASSIGN_OR_RETURN(const at::Tensor scales,
                       weights.Take("scales", {config.inner.end - config.inner.begin}));
  module.scales_ = Place(scales, float32_builder.execution());
  ILF_RETURN_IF_ERROR(weights.CheckAllConsumed());
  return module;
}

FeedbackModule::FeedbackModule(FeedbackModule&&) noexcept = default;
FeedbackModule& FeedbackModule::operator=(FeedbackModule&&) noexcept = default;
FeedbackModule::~FeedbackModule() = default;

at::Tensor FeedbackModule::operator()(const at::Tensor& inner_output,
                                      const TransformerCondition& condition) const {
  const at::Tensor modulation = modulation_ ? (*modulation_)(condition.embedding())
                                            : condition.embedding() + modulation_table_;
  return block_(inner_output, condition.layout(), SplitModulation(modulation), condition.prompts(),
                prompt_place_);
}

void FeedbackModule::ReadPrompt(PromptContext& context) const {
  if (modulation_) return;
  context.keys_values.resize(prompt_place_);
  context.keys_values.push_back(block_.ProjectPrompt(context.tokens));
}

}  // namespace ilf
