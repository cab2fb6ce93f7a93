// The T5 encoder against transformers' T5EncoderModel, which was given all prompts padded and
// masked.
#include <ATen/ops/cat.h>
#include <c10/core/InferenceMode.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/model/t5_encoder.h"
#include "tests/testing/fixture.h"

namespace ilf {
namespace {

constexpr double kFloatBound = 1e-4;
constexpr double kBfloat16Factor = 1.2;  // our error against transformers' own in bfloat16

class T5EncoderParityTest : public testing::TestWithParam<std::string> {
 protected:
  // The hidden states of all prompts behind each other.
  at::Tensor Run(const Execution& execution) {
    const T5Config config =
        ValueOrDie(T5Config::FromJson(ValueOrDie(JsonConfig::Load(directory_ + "/config.json"))));
    StateDict weights = ValueOrDie(StateDict::LoadFolder(directory_, "model"));
    const T5Encoder encoder = ValueOrDie(T5Encoder::Load(config, weights, execution));
    std::vector<at::Tensor> ids;
    for (int i = 0; i < prompts_; ++i)
      ids.push_back(expected_[absl::StrCat(i, "/ids")].to(at::kLong));
    return at::cat(encoder(ids));
  }

  at::Tensor Expected() {
    std::vector<at::Tensor> hidden;
    for (int i = 0; i < prompts_; ++i) hidden.push_back(expected_[absl::StrCat(i, "/hidden")]);
    return at::cat(hidden);
  }

  c10::InferenceMode inference_;
  const std::string directory_ = FixturePath("text_encoders/" + GetParam());
  Fixture expected_{directory_ + "/expected.safetensors"};
  const int prompts_ = std::stoi(expected_.Text("prompts"));
};

TEST_P(T5EncoderParityTest, Float32) { EXPECT_LE(MaxError(Run({}), Expected()), kFloatBound); }

TEST_P(T5EncoderParityTest, Float32WithoutTiles) {
  EXPECT_LE(MaxError(Run({.batch_invariant = false}), Expected()), kFloatBound);
}

TEST_P(T5EncoderParityTest, Float32Differentiable) {
  EXPECT_LE(MaxError(Run({.batch_invariant = false, .differentiable = true}), Expected()),
            kFloatBound);
}

TEST_P(T5EncoderParityTest, Bfloat16) {
  const double bound =
      kBfloat16Factor * *expected_.Metadata("bfloat16_error").GetDouble("hidden_rms");
  const double error = RmsError(Run({.dtype = at::kBFloat16}), Expected());
  RecordProperty("error_by_bound", absl::StrCat(error / bound));
  EXPECT_LE(error, bound);
}

INSTANTIATE_TEST_SUITE_P(Fixtures, T5EncoderParityTest,
                         testing::Values("gated_gelu", "relu", "few_buckets", "sharded"),
                         [](const auto& info) { return info.param; });

// Trained weights are float32 leaves of autograd, whatever the file holds.
class T5TrainableParityTest : public T5EncoderParityTest {};

TEST_P(T5TrainableParityTest, Float32AsTrained) {
  EXPECT_LE(MaxError(Run({.trainable = true}), Expected()), kFloatBound);
}

INSTANTIATE_TEST_SUITE_P(Fixtures, T5TrainableParityTest,
                         testing::Values("gated_gelu", "relu", "few_buckets"),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace ilf
