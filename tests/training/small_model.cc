#include "tests/training/small_model.h"

#include <filesystem>

#include <ATen/CPUGeneratorImpl.h>
#include <torch/types.h>

#include <gtest/gtest.h>

#include "engine/text/tokenizer.h"
#include "engine/training/diffusers_writer.h"
#include "engine/training/initial_weights.h"
#include "tests/testing/temp_path.h"

namespace ilf {
namespace {

constexpr uint64_t kSeed = 21;

NamedTensors SmallWeights(const TransformerConfig& config = SmallDitConfig()) {
  const at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(kSeed);
  NamedTensors weights = InitialTransformer(config, generator);
  for (auto& [name, tensor] : weights) tensor = at::randn(tensor.sizes(), generator) * 0.08;
  return weights;
}

// A fresh model directory with an untrained autoencoder and nothing else yet.
std::string DirectoryWithAutoencoder(const std::string& name) {
  const std::string path = TestPath(name);
  std::filesystem::remove_all(path);
  AutoencoderConfig vae;
  vae.block_out_channels = {8, 8};
  vae.norm_num_groups = 4;
  vae.latent_channels = 4;
  const at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(kSeed);
  EXPECT_TRUE(WriteAutoencoder(path, vae, 8, InitialAutoencoder(vae, generator), at::kFloat).ok());
  return path;
}

}  // namespace

TransformerConfig SmallDitConfig() {
  TransformerConfig config;
  config.num_attention_heads = 2;
  config.attention_head_dim = 8;
  config.num_layers = 4;
  config.sample_size = 4;
  config.num_classes = 3;
  return config;
}

Transformer SmallDit(const Execution& execution) {
  StateDict tensors(WithEmbedderCopies(SmallWeights(), SmallDitConfig()), "random weights");
  return Transformer::Load(SmallDitConfig(), tensors, execution).value();
}

std::string SmallModelDirectory(const std::string& name) {
  const std::string path = DirectoryWithAutoencoder(name);
  EXPECT_TRUE(WriteDit(path, SmallDitConfig(), SmallWeights(), {"a", "b", "c"}, at::kFloat).ok());
  return path;
}

std::string SmallTextModelDirectory(const std::string& name) {
  const std::string path = DirectoryWithAutoencoder(name);
  std::filesystem::copy(ILF_SOURCE_DIR "/tests/fixtures/tokenizers/current", path + "/tokenizer",
                        std::filesystem::copy_options::recursive);
  T5Config text;
  text.vocab_size = Tokenizer::Load(path + "/tokenizer").value().vocab_size();
  text.num_layers = 1;
  text.num_heads = 2;
  text.d_model = 16;
  text.d_kv = 8;
  text.d_ff = 32;
  TransformerConfig config = SmallDitConfig();
  config.architecture = Architecture::kPixArt;
  config.num_classes = 0;
  config.norm_eps = 1e-6;
  config.caption_channels = text.d_model;
  config.cross_attention_dim = config.dim();
  config.micro_conditions = false;
  const at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(kSeed);
  EXPECT_TRUE(WritePixArt(path, config, text, {SmallWeights(config), InitialT5(text, generator)},
                          at::kFloat)
                  .ok());
  return path;
}

}  // namespace ilf
