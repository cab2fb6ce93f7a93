// What the T5 encoder promises beside its numbers: a prompt's bits are its own, and gradients reach
// every weight.
#include "engine/model/t5_encoder.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <c10/core/GradMode.h>
#include <c10/core/InferenceMode.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"

namespace ilf {
namespace {

using testing::HasSubstr;

at::Generator Source(uint64_t seed) { return at::make_generator<at::CPUGeneratorImpl>(seed); }

using Weights = std::map<std::string, at::Tensor>;

Weights RandomWeights(const T5Config& c) {
  at::Generator source = Source(1);
  Weights weights;
  const auto matrix = [&](const std::string& name, int64_t out, int64_t in) {
    weights[name] = at::randn({out, in}, source) / std::sqrt(static_cast<double>(in));
  };
  const auto norm = [&](const std::string& name) {
    weights[name] = at::randn({c.d_model}, source) * 0.3 + 1.0;
  };
  weights["shared.weight"] = at::randn({c.vocab_size, c.d_model}, source);
  for (int64_t i = 0; i < c.num_layers; ++i) {
    const std::string block = absl::StrCat("encoder.block.", i, ".layer.");
    for (const char* name : {"q", "k", "v"}) {
      matrix(block + "0.SelfAttention." + name + ".weight", c.num_heads * c.d_kv, c.d_model);
    }
    matrix(block + "0.SelfAttention.o.weight", c.d_model, c.num_heads * c.d_kv);
    for (const char* name : {"wi_0", "wi_1"}) {
      matrix(block + "1.DenseReluDense." + name + ".weight", c.d_ff, c.d_model);
    }
    matrix(block + "1.DenseReluDense.wo.weight", c.d_model, c.d_ff);
    norm(block + "0.layer_norm.weight");
    norm(block + "1.layer_norm.weight");
  }
  weights["encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"] =
      at::randn({c.relative_attention_num_buckets, c.num_heads}, source);
  norm("encoder.final_layer_norm.weight");
  return weights;
}

absl::StatusOr<T5Encoder> Load(const T5Config& config, Weights weights,
                               const Execution& execution) {
  StateDict dict(std::move(weights), "te");
  return T5Encoder::Load(config, dict, execution);
}

std::vector<at::Tensor> Prompts(const T5Config& config, const std::vector<int64_t>& lengths) {
  at::Generator source = Source(2);
  std::vector<at::Tensor> ids;
  for (const int64_t length : lengths) {
    ids.push_back(at::randint(config.vocab_size, {length}, source, at::kLong));
  }
  return ids;
}

T5Config SmallConfig() {
  return {.vocab_size = 50,
          .d_model = 24,
          .d_kv = 8,
          .d_ff = 40,
          .num_layers = 2,
          .num_heads = 2,
          .gated = true};
}

// Two shapes: narrow layers, and layers wide enough for the large tiles.
class T5CompanyTest : public testing::TestWithParam<std::tuple<int64_t, at::ScalarType>> {};

TEST_P(T5CompanyTest, APromptsBitsAreTheSameAloneAndInAnyCompany) {
  const auto [d_model, dtype] = GetParam();
  const c10::InferenceMode inference;
  const T5Config config = {.vocab_size = 300,
                           .d_model = d_model,
                           .d_kv = 64,
                           .d_ff = 5 * d_model / 2,
                           .num_layers = 2,
                           .num_heads = d_model / 64,
                           .gated = true};
  const auto encoder = Load(config, RandomWeights(config), {.dtype = dtype});
  ASSERT_TRUE(encoder.ok()) << encoder.status();
  const auto prompts = Prompts(config, {1, 7, 120, 300, 7, 33, 1});
  std::vector<at::Tensor> alone;
  for (const at::Tensor& prompt : prompts) alone.push_back((*encoder)({prompt})[0]);

  const std::vector<std::vector<size_t>> companies = {
      {0, 1, 2, 3, 4, 5, 6}, {6, 5, 4, 3, 2, 1, 0}, {1, 0}, {3, 2}, {5, 1, 5, 4}, {0, 6, 2}};
  for (const auto& company : companies) {
    std::vector<at::Tensor> ids;
    for (const size_t i : company) ids.push_back(prompts[i]);
    const auto together = (*encoder)(ids);
    for (size_t place = 0; place < company.size(); ++place) {
      EXPECT_TRUE(at::equal(together[place], alone[company[place]]))
          << "prompt " << company[place] << " in place " << place << " of " << company.size();
    }
  }
}

INSTANTIATE_TEST_SUITE_P(WidthsAndTypes, T5CompanyTest,
                         testing::Combine(testing::Values(192, 768),
                                          testing::Values(at::kFloat, at::kBFloat16)));

TEST(T5EncoderTest, TakesTheEmbeddingsUnderEitherNameOrBoth) {
  const T5Config config = SmallConfig();
  const Weights shared = RandomWeights(config);
  Weights both = shared;
  both["encoder.embed_tokens.weight"] = shared.at("shared.weight").clone();
  Weights other = both;
  other.erase("shared.weight");
  const auto ids = Prompts(config, {9});
  const at::Tensor expected = (*Load(config, shared, {}))(ids)[0];
  EXPECT_TRUE(at::equal((*Load(config, both, {}))(ids)[0], expected));
  EXPECT_TRUE(at::equal((*Load(config, other, {}))(ids)[0], expected));
}

TEST(T5EncoderTest, NamesATensorThatIsMissingMisshapenOrLeftOver) {
  const T5Config config = SmallConfig();
  const auto message = [&](const Weights& weights) {
    return std::string(Load(config, weights, {}).status().message());
  };
  const std::string name = "encoder.block.1.layer.1.DenseReluDense.wo.weight";
  Weights weights = RandomWeights(config);
  weights.erase(name);
  EXPECT_THAT(message(weights), HasSubstr("te: no tensor '" + name + "'"));
  weights[name] = at::randn({40, 24});
  EXPECT_THAT(message(weights), HasSubstr("'" + name + "' is [40, 24], expected [24, 40]"));
  weights = RandomWeights(config);
  weights["decoder.final_layer_norm.weight"] = at::randn({24});
  EXPECT_THAT(message(weights), HasSubstr("does not use: decoder.final_layer_norm.weight"));
  weights = RandomWeights(config);
  weights.erase("shared.weight");
  EXPECT_THAT(message(weights), HasSubstr("no tensor 'shared.weight'"));
}

class T5TrainableTest : public testing::Test {
 protected:
  T5TrainableTest() {
    for (auto& [name, tensor] : weights_) tensor.requires_grad_();
  }

  // Sum of the hidden states' products with fixed numbers, so that no gradient vanishes by
  // symmetry.
  double Loss(const T5Encoder& encoder, const std::vector<at::Tensor>& ids, at::Tensor* loss) {
    const at::Tensor hidden = at::cat(encoder(ids));
    *loss = (hidden * at::randn(hidden.sizes(), Source(3))).sum();
    return loss->item<double>();
  }

  const T5Config config_ = SmallConfig();
  Weights weights_ = RandomWeights(config_);
  const std::vector<at::Tensor> ids_ = Prompts(config_, {1, 5, 12, 5});
};

TEST_F(T5TrainableTest, GradientsReachEveryWeightAndAreThoseOfTheLoss) {
  const auto encoder = Load(config_, weights_, {.trainable = true});
  ASSERT_TRUE(encoder.ok()) << encoder.status();
  at::Tensor loss;
  Loss(*encoder, ids_, &loss);
  loss.backward();
  for (auto& [name, tensor] : weights_) {
    ASSERT_TRUE(tensor.grad().defined()) << name;
    // The loss along the gradient's direction, by central differences.
    const at::Tensor gradient = tensor.grad();
    const double slope = gradient.norm().item<double>();
    EXPECT_GT(slope, 1e-3) << name;
    const c10::AutoGradMode no_grad(false);
    const at::Tensor step = gradient / slope * 0.01;
    at::Tensor unused;
    tensor.add_(step);
    const double above = Loss(*encoder, ids_, &unused);
    tensor.sub_(step * 2);
    const double below = Loss(*encoder, ids_, &unused);
    tensor.add_(step);
    EXPECT_NEAR((above - below) / 0.02, slope, 0.02 * slope) << name;
  }
}

TEST_F(T5TrainableTest, GradientsOfPromptsTogetherAreTheSumOfTheirOwn) {
  const auto encoder = Load(config_, weights_, {.trainable = true});
  const auto squares = [](const std::vector<at::Tensor>& hidden) {
    return at::cat(hidden).square().sum();
  };
  squares((*encoder)(ids_)).backward();
  std::map<std::string, at::Tensor> together;
  for (auto& [name, tensor] : weights_) {
    together[name] = tensor.grad().clone();
    tensor.mutable_grad() = at::Tensor();
  }
  for (const at::Tensor& prompt : ids_) squares((*encoder)({prompt})).backward();
  for (const auto& [name, tensor] : weights_) {
    const double scale = together[name].abs().max().item<double>();
    EXPECT_LE((tensor.grad() - together[name]).abs().max().item<double>(), 1e-4 * scale) << name;
  }
}

}  // namespace
}  // namespace ilf
