#include "tests/training/small_model.h"

#include <filesystem>

#include <ATen/CPUGeneratorImpl.h>
#include <torch/types.h>

#include <gtest/gtest.h>

#include "engine/training/diffusers_writer.h"
#include "engine/training/initial_weights.h"
#include "tests/testing/temp_path.h"

namespace ilf {
namespace {

constexpr uint64_t kSeed = 21;

NamedTensors SmallWeights() {
  const at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(kSeed);
  NamedTensors weights = InitialTransformer(SmallDitConfig(), generator);
  for (auto& [name, tensor] : weights) tensor = at::randn(tensor.sizes(), generator) * 0.08;
  return weights;
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
  const std::string path = TestPath(name);
  std::filesystem::remove_all(path);
  AutoencoderConfig vae;
  vae.block_out_channels = {8, 8};
  vae.norm_num_groups = 4;
  vae.latent_channels = 4;
  const at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(kSeed);
  EXPECT_TRUE(WriteAutoencoder(path, vae, 8, InitialAutoencoder(vae, generator), at::kFloat).ok());
  EXPECT_TRUE(WriteDit(path, SmallDitConfig(), SmallWeights(), {"a", "b", "c"}, at::kFloat).ok());
  return path;
}

}  // namespace ilf
