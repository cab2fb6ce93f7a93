// The autoencoder against diffusers' AutoencoderKL.
#include <c10/core/InferenceMode.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <string>
#include <utility>

#include "engine/model/autoencoder_kl.h"
#include "tests/testing/fixture.h"

namespace ilf {
namespace {

constexpr double kFloatBound = 1e-4;
constexpr double kBfloat16Factor = 1.2;  // our error against diffusers' own in bfloat16

class AutoencoderParityTest : public testing::TestWithParam<std::string> {
 protected:
  // What the fixture has expectations for.
  std::map<std::string, at::Tensor> Run(const Execution& execution) {
    const AutoencoderConfig config = ValueOrDie(
        AutoencoderConfig::FromJson(ValueOrDie(JsonConfig::Load(directory_ + "config.json"))));
    StateDict weights = Weights(execution.trainable);
    const AutoencoderKl model = ValueOrDie(AutoencoderKl::Load(config, weights, execution));
    const LatentDistribution encoded = model.Encode(expected_["images"]);
    return {{"mean", encoded.mean},
            {"log_variance", encoded.log_variance},
            {"decoded", model.Decode(expected_["latents"])}};
  }

  // Those of the file, or what training starts from: float32, whatever the file holds.
  StateDict Weights(bool in_float32) const {
    const std::string path = directory_ + "diffusion_pytorch_model.safetensors";
    StateDict weights = ValueOrDie(StateDict::Load(path));
    if (!in_float32) return weights;
    const auto file = ValueOrDie(SafetensorsFile::Open(path));
    std::map<std::string, at::Tensor> converted;
    for (const auto& [name, entry] : file->tensors()) {
      converted[name] = ValueOrDie(weights.Take(name, entry.shape)).to(at::kFloat);
    }
    return StateDict(std::move(converted), path);
  }

  c10::InferenceMode inference_;
  const std::string directory_ = FixturePath(GetParam() + "/");
  Fixture expected_{directory_ + "expected.safetensors"};
};

TEST_P(AutoencoderParityTest, Float32) {
  for (const auto& [name, value] : Run({})) {
    EXPECT_LE(MaxError(value, expected_[name]), kFloatBound) << name;
  }
}

TEST_P(AutoencoderParityTest, Float32AsTrained) {
  for (const auto& [name, value] : Run({.trainable = true})) {
    EXPECT_LE(MaxError(value, expected_[name]), kFloatBound) << name;
  }
}

TEST_P(AutoencoderParityTest, Bfloat16) {
  const JsonConfig error = expected_.Metadata("bfloat16_error");
  for (const auto& [name, value] : Run({.dtype = at::kBFloat16})) {
    const double bound = kBfloat16Factor * *error.GetDouble(name + "_rms");
    EXPECT_LE(RmsError(value, expected_[name]), bound) << name;
  }
}

INSTANTIATE_TEST_SUITE_P(Fixtures, AutoencoderParityTest,
                         testing::Values("vaes/two_levels", "vaes/legacy_names",
                                         "vaes/no_quant_conv", "vaes/no_mid_attention",
                                         "pipelines/default/vae", "pipelines/ten_classes/vae",
                                         "pipelines/dpm/vae"),
                         [](const auto& info) {
                           std::string name = info.param;
                           std::replace(name.begin(), name.end(), '/', '_');
                           return name;
                         });

}  // namespace
}  // namespace ilf
