#include "engine/training/diffusers_writer.h"

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "engine/training/initial_weights.h"
#include "engine/training/model_files.h"

namespace ilf {
namespace {

using Json = nlohmann::ordered_json;

// The release of diffusers whose config keys these are.
constexpr char kDiffusersVersion[] = "0.42.1";

Json SchedulerConfig() {
  return {{"_class_name", "DPMSolverMultistepScheduler"},
          {"_diffusers_version", kDiffusersVersion},
          {"algorithm_type", "dpmsolver++"},
          {"beta_end", 0.02},
          {"beta_schedule", "linear"},
          {"beta_start", 0.0001},
          {"final_sigmas_type", "zero"},
          {"lower_order_final", true},
          {"num_train_timesteps", 1000},
          {"prediction_type", "epsilon"},
          {"solver_order", 2},
          {"solver_type", "midpoint"},
          {"steps_offset", 0},
          {"thresholding", false},
          {"timestep_spacing", "linspace"},
          {"use_karras_sigmas", false}};
}

Json ModelIndex(const std::vector<std::string>& labels) {
  Json id2label = Json::object();
  for (size_t i = 0; i < labels.size(); ++i) id2label[absl::StrCat(i)] = labels[i];
  return {{"_class_name", "DiTPipeline"},
          {"_diffusers_version", kDiffusersVersion},
          {"id2label", id2label},
          {"scheduler", {"diffusers", "DPMSolverMultistepScheduler"}},
          {"transformer", {"diffusers", "DiTTransformer2DModel"}},
          {"vae", {"diffusers", "AutoencoderKL"}}};
}

Json TransformerJson(const TransformerConfig& config) {
  return {{"_diffusers_version", kDiffusersVersion},
          {"activation_fn", "gelu-approximate"},
          {"attention_bias", true},
          {"attention_head_dim", config.attention_head_dim},
          {"dropout", 0.0},
          {"in_channels", config.in_channels},
          {"norm_elementwise_affine", false},
          {"norm_eps", config.norm_eps},
          {"norm_num_groups", 32},
          {"num_attention_heads", config.num_attention_heads},
          {"num_layers", config.num_layers},
          {"out_channels", config.out_channels},
          {"patch_size", config.patch_size},
          {"sample_size", config.sample_size},
          {"upcast_attention", false}};
}

Json TextEncoderJson(const T5Config& config) {
  return {{"architectures", {"T5EncoderModel"}},
          {"d_ff", config.d_ff},
          {"d_kv", config.d_kv},
          {"d_model", config.d_model},
          {"dropout_rate", 0.0},
          {"eos_token_id", 1},
          {"feed_forward_proj", config.gated ? "gated-gelu" : "relu"},
          {"is_encoder_decoder", true},
          {"layer_norm_epsilon", config.layer_norm_epsilon},
          {"model_type", "t5"},
          {"num_decoder_layers", config.num_layers},
          {"num_heads", config.num_heads},
          {"num_layers", config.num_layers},
          {"pad_token_id", 0},
          {"relative_attention_max_distance", config.relative_attention_max_distance},
          {"relative_attention_num_buckets", config.relative_attention_num_buckets},
          {"tie_word_embeddings", false},
          {"vocab_size", config.vocab_size}};
}

}  // namespace

absl::Status WriteAutoencoder(const std::string& model, const AutoencoderConfig& config,
                              int64_t sample_size, const NamedTensors& weights,
                              at::ScalarType dtype) {
  const size_t levels = config.block_out_channels.size();
  const Json json = {{"_class_name", "AutoencoderKL"},
                     {"_diffusers_version", kDiffusersVersion},
                     {"act_fn", "silu"},
                     {"block_out_channels", config.block_out_channels},
                     {"down_block_types", std::vector<std::string>(levels, "DownEncoderBlock2D")},
                     {"in_channels", config.image_channels},
                     {"latent_channels", config.latent_channels},
                     {"layers_per_block", config.layers_per_block},
                     {"mid_block_add_attention", config.mid_block_add_attention},
                     {"norm_num_groups", config.norm_num_groups},
                     {"out_channels", config.image_channels},
                     {"sample_size", sample_size},
                     {"scaling_factor", config.scaling_factor},
                     {"up_block_types", std::vector<std::string>(levels, "UpDecoderBlock2D")},
                     {"use_post_quant_conv", config.use_post_quant_conv},
                     {"use_quant_conv", config.use_quant_conv}};
  ILF_RETURN_IF_ERROR(WriteJson(model + "/vae", "config.json", json));
  return WriteWeights(model + "/vae", weights, dtype);
}

absl::Status WritePreviewColour(const std::string& model, const PreviewColour& colour) {
  std::vector<float> factors;
  for (const auto& channel : colour.weights)
    factors.insert(factors.end(), channel.begin(), channel.end());
  return WriteJson(model + "/preview", "config.json",
                   {{"latent_rgb_factors", factors}, {"latent_rgb_bias", colour.bias}});
}

absl::Status WriteDit(const std::string& model, const TransformerConfig& config,
                      const NamedTensors& weights, const std::vector<std::string>& labels,
                      at::ScalarType dtype) {
  Json json = TransformerJson(config);
  json["_class_name"] = "DiTTransformer2DModel";
  json["norm_type"] = "ada_norm_zero";
  json["num_embeds_ada_norm"] = config.num_classes;
  ILF_RETURN_IF_ERROR(WriteJson(model + "/transformer", "config.json", json));
  ILF_RETURN_IF_ERROR(
      WriteWeights(model + "/transformer", WithEmbedderCopies(weights, config), dtype));
  ILF_RETURN_IF_ERROR(WriteJson(model + "/scheduler", "scheduler_config.json", SchedulerConfig()));
  return WriteJson(model, "model_index.json", ModelIndex(labels));
}

absl::Status WritePixArt(const std::string& model, const TransformerConfig& config,
                         const T5Config& text_encoder, const TextModelWeights& weights,
                         at::ScalarType dtype) {
  Json json = TransformerJson(config);
  json["_class_name"] = "PixArtTransformer2DModel";
  json["caption_channels"] = config.caption_channels;
  json["cross_attention_dim"] = config.cross_attention_dim;
  json["interpolation_scale"] = config.interpolation_scale;
  json["norm_type"] = "ada_norm_single";
  json["num_embeds_ada_norm"] = 1000;
  json["use_additional_conditions"] = false;
  ILF_RETURN_IF_ERROR(WriteJson(model + "/transformer", "config.json", json));
  ILF_RETURN_IF_ERROR(WriteWeights(model + "/transformer", weights.transformer, dtype));
  ILF_RETURN_IF_ERROR(
      WriteJson(model + "/text_encoder", "config.json", TextEncoderJson(text_encoder)));
  ILF_RETURN_IF_ERROR(
      WriteWeights(model + "/text_encoder", weights.text_encoder, dtype, "model.safetensors"));
  ILF_RETURN_IF_ERROR(WriteJson(model + "/scheduler", "scheduler_config.json", SchedulerConfig()));
  return WriteJson(model, "model_index.json",
                   {{"_class_name", "PixArtSigmaPipeline"},
                    {"_diffusers_version", kDiffusersVersion},
                    {"scheduler", {"diffusers", "DPMSolverMultistepScheduler"}},
                    {"text_encoder", {"transformers", "T5EncoderModel"}},
                    {"tokenizer", {"transformers", "T5Tokenizer"}},
                    {"transformer", {"diffusers", "PixArtTransformer2DModel"}},
                    {"vae", {"diffusers", "AutoencoderKL"}}});
}

}  // namespace ilf
