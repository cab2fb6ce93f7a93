// The PixArt transformer against diffusers' PixArtTransformer2DModel.
#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include <ATen/TensorOperators.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/tensor.h>
#include <c10/core/InferenceMode.h>
#include <gtest/gtest.h>

#include "engine/model/transformer.h"
#include "tests/testing/fixture.h"

namespace ilf {
namespace {

constexpr double kFloatBound = 1e-4;
constexpr double kBfloat16Factor = 1.2;  // our error against diffusers' own in bfloat16

class PixArtTransformerParityTest : public testing::TestWithParam<std::string> {
 protected:
  Transformer Load(const Execution& execution) {
    const TransformerConfig config = ValueOrDie(
        TransformerConfig::FromJson(ValueOrDie(JsonConfig::Load(directory_ + "config.json"))));
    StateDict weights =
        ValueOrDie(StateDict::Load(directory_ + "diffusion_pytorch_model.safetensors"));
    return ValueOrDie(Transformer::Load(config, weights, execution));
  }

  // Height and width in pixels; undefined where the model does not ask for them.
  at::Tensor PictureSizes() {
    return expected_.Has("resolution") ? expected_["resolution"] : at::Tensor();
  }

  // Each row's prompt without its padding.
  PromptRows Prompts(const Transformer& model) {
    const at::Tensor states = expected_["encoder_hidden_states"];
    const at::Tensor mask = expected_["encoder_attention_mask"];
    std::vector<PromptRows::Context> by_row;
    for (int64_t row = 0; row < states.size(0); ++row) {
      const at::Tensor kept = states[row].index_select(0, mask[row].nonzero().flatten());
      by_row.push_back(std::make_shared<PromptContext>(model.ReadPrompt(kept.unsqueeze(0))));
    }
    return PromptRows(by_row);
  }

  // The greatest error over the sizes that the case has.
  template <typename Measure>
  double Error(const Transformer& model, const PromptRows& prompts, Measure measure) {
    double error = 0.0;
    for (const std::string suffix : {"", "1", "2"}) {
      if (!expected_.Has("latents" + suffix)) continue;
      const at::Tensor output = model(expected_["latents" + suffix], expected_["timesteps"],
                                      RowConditions(prompts, PictureSizes()));
      error = std::max(error, measure(output, expected_["output" + suffix]));
    }
    return error;
  }
  double Error(const Execution& execution) {
    const Transformer model = Load(execution);
    return Error(model, Prompts(model), MaxError);
  }

  c10::InferenceMode inference_;
  const std::string directory_ = FixturePath("pixart/transformers/" + GetParam() + "/");
  Fixture expected_{directory_ + "expected.safetensors"};
};

TEST_P(PixArtTransformerParityTest, Float32) { EXPECT_LE(Error({}), kFloatBound); }

TEST_P(PixArtTransformerParityTest, Float32WithoutTiles) {
  EXPECT_LE(Error({.batch_invariant = false}), kFloatBound);
}

TEST_P(PixArtTransformerParityTest, Float32AsTrained) {
  EXPECT_LE(Error({.trainable = true}), kFloatBound);
}

TEST_P(PixArtTransformerParityTest, PaddedPromptsUnderAMaskAreThoseWithoutPadding) {
  for (const bool trainable : {false, true}) {
    const Transformer model = Load({.trainable = trainable});
    const auto padded = std::make_shared<PromptContext>(model.ReadPrompt(
        expected_["encoder_hidden_states"], expected_["encoder_attention_mask"].to(at::kBool)));
    EXPECT_LE(Error(model, PromptRows(padded), MaxError), kFloatBound);
  }
}

TEST_P(PixArtTransformerParityTest, Bfloat16) {
  const Transformer model = Load({.dtype = at::kBFloat16});
  double bound = 0.0;
  for (const char* key : {"output_rms", "output1_rms", "output2_rms"}) {
    bound = std::max(bound, expected_.Metadata("bfloat16_error").GetDouble(key, 0.0).value());
  }
  EXPECT_LE(Error(model, Prompts(model), RmsError), kBfloat16Factor * bound);
}

TEST_P(PixArtTransformerParityTest, ARowsBitsDoNotDependOnTheOthers) {
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    const Transformer model = Load({.dtype = dtype});
    const PromptRows prompts = Prompts(model);
    const at::Tensor latents = expected_["latents"], timesteps = expected_["timesteps"];
    const at::Tensor together = model(latents, timesteps, RowConditions(prompts, PictureSizes()));
    for (int64_t row = 0; row < latents.size(0); ++row) {
      const at::Tensor sizes =
          PictureSizes().defined() ? PictureSizes().narrow(0, row, 1) : at::Tensor();
      const at::Tensor alone = model(latents.narrow(0, row, 1), timesteps.narrow(0, row, 1),
                                     RowConditions(prompts.Select({row}), sizes));
      EXPECT_TRUE(at::equal(alone[0], together[row])) << "row " << row;
      // In another order, with the same prompt in neighbouring rows.
      const std::vector<int64_t> order = {(row + 1) % 4, row, row};
      const at::Tensor index = at::tensor(order);
      const at::Tensor mixed =
          model(latents.index_select(0, index), timesteps.index_select(0, index),
                RowConditions(prompts.Select(order),
                              sizes.defined() ? PictureSizes().index_select(0, index) : sizes));
      EXPECT_TRUE(at::equal(mixed[1], together[row])) << "row " << row;
      EXPECT_TRUE(at::equal(mixed[2], together[row])) << "row " << row;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Fixtures, PixArtTransformerParityTest,
                         testing::Values("upstream", "captions", "micro_conditions", "non_square",
                                         "long_text", "legacy", "legacy_128", "alpha_512",
                                         "sigma_2k", "stretched", "legacy_128_micro_conditions",
                                         "norm_eps"),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace ilf
