// A trainer loads a model once and then changes its weights in place: every part must see that.
#include <map>
#include <memory>
#include <string>

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

#include "engine/model/autoencoder_kl.h"
#include "engine/model/t5_encoder.h"
#include "engine/model/transformer.h"
#include "tests/testing/fixture.h"

namespace ilf {
namespace {

using Tensors = std::map<std::string, at::Tensor>;

const Execution kTrainable = {.trainable = true};

Tensors TensorsOf(const std::string& file) {
  StateDict stored = ValueOrDie(StateDict::Load(file));
  Tensors tensors;
  for (const std::string& name : stored.Names()) {
    tensors[name] =
        ValueOrDie(stored.Take(name, ValueOrDie(stored.Shape(name)))).to(at::kFloat).clone();
  }
  return tensors;
}

JsonConfig ConfigIn(const std::string& folder) {
  return ValueOrDie(JsonConfig::Load(folder + "config.json"));
}

// Changes one tensor at a time; `run` gives the output of a model, and `load` loads one.
template <typename Load, typename Run>
void ExpectToFollow(Tensors tensors, Load load, Run run) {
  at::NoGradGuard no_grad;
  const auto model = load(tensors);
  for (auto& [name, tensor] : tensors) {
    tensor.mul_(1.25).add_(0.05);
    EXPECT_TRUE(at::equal(run(model), run(load(tensors)))) << name;
  }
}

class TrainableTransformerTest : public testing::TestWithParam<std::string> {};

TEST_P(TrainableTransformerTest, FollowsItsWeightsAsTheyChange) {
  const std::string folder = FixturePath(GetParam() + "/");
  const TransformerConfig config = ValueOrDie(TransformerConfig::FromJson(ConfigIn(folder)));
  Fixture expected(folder + "expected.safetensors");
  const at::Tensor latents = expected["latents"], timesteps = expected["timesteps"];
  const auto load = [&](const Tensors& tensors) {
    StateDict weights(tensors, "weights");
    return ValueOrDie(Transformer::Load(config, weights, kTrainable));
  };
  const auto run = [&](const Transformer& model) {
    if (!config.reads_text()) return model(latents, timesteps, expected["classes"].to(at::kLong));
    const at::Tensor sizes = expected.Has("resolution") ? expected["resolution"] : at::Tensor();
    return model(latents, timesteps,
                 RowConditions(PromptRows(std::make_shared<PromptContext>(model.ReadPrompt(
                                   expected["encoder_hidden_states"],
                                   expected["encoder_attention_mask"].to(at::kBool)))),
                               sizes));
  };
  ExpectToFollow(TensorsOf(folder + "diffusion_pytorch_model.safetensors"), load, run);
}

INSTANTIATE_TEST_SUITE_P(Fixtures, TrainableTransformerTest,
                         testing::Values("transformers/oracle", "transformers/different_embedders",
                                         "pixart/transformers/captions",
                                         "pixart/transformers/micro_conditions"),
                         [](const auto& info) {
                           std::string name = info.param;
                           for (char& c : name) c = c == '/' ? '_' : c;
                           return name;
                         });

TEST(TrainableAutoencoderTest, FollowsItsWeightsAsTheyChange) {
  const std::string folder = FixturePath("vaes/two_levels/");
  const AutoencoderConfig config = ValueOrDie(AutoencoderConfig::FromJson(ConfigIn(folder)));
  Fixture expected(folder + "expected.safetensors");
  const at::Tensor images = expected["images"];
  const auto load = [&](const Tensors& tensors) {
    StateDict weights(tensors, "weights");
    return ValueOrDie(AutoencoderKl::Load(config, weights, kTrainable));
  };
  const auto run = [&](const AutoencoderKl& model) {
    return model.Decode(model.Encode(images).mean);
  };
  ExpectToFollow(TensorsOf(folder + "diffusion_pytorch_model.safetensors"), load, run);
}

TEST(TrainableT5EncoderTest, FollowsItsWeightsAsTheyChange) {
  const std::string folder = FixturePath("pixart/pipelines/alpha/text_encoder/");
  const T5Config config = ValueOrDie(T5Config::FromJson(ConfigIn(folder)));
  const auto load = [&](const Tensors& tensors) {
    StateDict weights(tensors, "weights");
    return ValueOrDie(T5Encoder::Load(config, weights, kTrainable));
  };
  const auto run = [](const T5Encoder& encoder) {
    return encoder({at::tensor({5, 9, 3, 1}, at::kLong)})[0];
  };
  ExpectToFollow(TensorsOf(folder + "model.safetensors"), load, run);
}

}  // namespace
}  // namespace ilf
