// The DiT transformer against diffusers' DiTTransformer2DModel.
#include <c10/core/InferenceMode.h>
#include <gtest/gtest.h>

#include <string>

#include "engine/model/transformer.h"
#include "tests/testing/fixture.h"

namespace ilf {
namespace {

constexpr double kFloatBound = 1e-4;
constexpr double kBfloat16Factor = 1.2;  // our error against diffusers' own in bfloat16

class DitTransformerParityTest : public testing::TestWithParam<std::string> {
 protected:
  at::Tensor Run(const Execution& execution) {
    const TransformerConfig config = ValueOrDie(
        TransformerConfig::FromJson(ValueOrDie(JsonConfig::Load(directory_ + "config.json"))));
    StateDict weights =
        ValueOrDie(StateDict::Load(directory_ + "diffusion_pytorch_model.safetensors"));
    const Transformer model = ValueOrDie(Transformer::Load(config, weights, execution));
    return model(expected_["latents"], expected_["timesteps"], expected_["classes"].to(at::kLong));
  }

  c10::InferenceMode inference_;
  const std::string directory_ = FixturePath("transformers/" + GetParam() + "/");
  Fixture expected_{directory_ + "expected.safetensors"};
};

TEST_P(DitTransformerParityTest, Float32) {
  EXPECT_LE(MaxError(Run({}), expected_["output"]), kFloatBound);
}

TEST_P(DitTransformerParityTest, Float32WithoutTiles) {
  EXPECT_LE(MaxError(Run({.batch_invariant = false}), expected_["output"]), kFloatBound);
}

TEST_P(DitTransformerParityTest, Float32AsTrained) {
  EXPECT_LE(MaxError(Run({.trainable = true}), expected_["output"]), kFloatBound);
}

TEST_P(DitTransformerParityTest, Bfloat16) {
  const double bound =
      kBfloat16Factor * *expected_.Metadata("bfloat16_error").GetDouble("output_rms");
  EXPECT_LE(RmsError(Run({.dtype = at::kBFloat16}), expected_["output"]), bound);
}

INSTANTIATE_TEST_SUITE_P(Fixtures, DitTransformerParityTest,
                         testing::Values("oracle", "deep", "different_embedders", "patch_4",
                                         "patch_1", "norm_eps"),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace ilf
