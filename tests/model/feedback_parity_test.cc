// Feedback passes against the same composed of diffusers' blocks
// (tests/fixtures/feedback_fixtures.py and pixart_feedback_fixtures.py).
#include <algorithm>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include <ATen/TensorOperators.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/InferenceMode.h>
#include <gtest/gtest.h>

#include "engine/model/feedback_module.h"
#include "engine/model/feedback_pass.h"
#include "engine/model/transformer.h"
#include "tests/testing/fixture.h"

namespace ilf {
namespace {

constexpr double kBound = 1e-4;
constexpr char kWeights[] = "diffusion_pytorch_model.safetensors";

class FeedbackParityTest : public testing::TestWithParam<std::string> {
 protected:
  FeedbackParityTest() {
    Fixture expected(directory_ + "expected.safetensors");
    latents_ = expected["latents"];
    timesteps_ = expected["timesteps"];
    const at::Tensor index = expected["rows"].to(at::kLong).contiguous();
    const int64_t* rows = index.data_ptr<int64_t>();
    rows_ = {std::vector<int64_t>(rows, rows + index.numel()), expected["targets"]};
    output_ = expected["output"];
    backbone_ = FixturePath("feedback/backbones/" + expected.Text("backbone") + "/");
    config_ = ValueOrDie(
        TransformerConfig::FromJson(ValueOrDie(JsonConfig::Load(backbone_ + "config.json"))));
    if (config_.reads_text()) {
      texts_ = expected["encoder_hidden_states"];
      mask_ = expected["encoder_attention_mask"].to(at::kBool);
    } else {
      classes_ = expected["classes"].to(at::kLong);
    }
  }

  // What the rows are to show, as backbone and module read it.
  RowConditions Conditions(const Transformer& backbone, const FeedbackModule& module) {
    if (!config_.reads_text()) return classes_;
    std::vector<PromptRows::Context> prompts;
    for (int64_t row = 0; row < texts_.size(0); ++row) {
      const int64_t tokens = mask_[row].sum().item<int64_t>();
      PromptContext context = backbone.ReadPrompt(texts_.narrow(0, row, 1).narrow(1, 0, tokens));
      module.ReadPrompt(context);
      prompts.push_back(std::make_shared<const PromptContext>(std::move(context)));
    }
    return RowConditions(PromptRows(prompts));
  }

  at::Tensor Pass(const Transformer& backbone, const FeedbackModule& module,
                  const FeedbackRows& rows) {
    return PassWithFeedback(backbone, module, {latents_}, timesteps_, Conditions(backbone, module),
                            rows)
        .front();
  }

  at::Tensor Plain(const Transformer& backbone) {
    return backbone(latents_, timesteps_, Conditions(backbone, LoadModule()));
  }

  Transformer LoadBackbone(const Execution& execution = {}) {
    StateDict weights = ValueOrDie(StateDict::Load(backbone_ + kWeights));
    return ValueOrDie(Transformer::Load(config_, weights, execution));
  }

  FeedbackConfig ModuleConfig() {
    return ValueOrDie(FeedbackConfig::FromJson(
        ValueOrDie(JsonConfig::Load(directory_ + "config.json")), config_));
  }

  FeedbackModule LoadModule(const Execution& execution = {}) {
    StateDict weights = ValueOrDie(StateDict::Load(directory_ + kWeights));
    return ValueOrDie(FeedbackModule::Load(ModuleConfig(), config_, weights, execution));
  }

  // The module with every scale at zero.
  FeedbackModule SilentModule(const FeedbackConfig& config) {
    StateDict stored = ValueOrDie(StateDict::Load(directory_ + kWeights));
    std::map<std::string, at::Tensor> tensors;
    for (const std::string& name : stored.Names()) {
      tensors[name] = ValueOrDie(stored.Take(name, ValueOrDie(stored.Shape(name))));
    }
    tensors["scales"] = at::zeros_like(tensors["scales"]);
    StateDict weights(tensors, "silent module");
    return ValueOrDie(FeedbackModule::Load(config, config_, weights, {}));
  }

  at::Tensor Run(const Execution& execution) {
    return Pass(LoadBackbone(execution), LoadModule(execution), rows_);
  }

  c10::InferenceMode inference_;
  const std::string directory_ = FixturePath("feedback/" + GetParam() + "/");
  std::string backbone_;
  TransformerConfig config_;
  at::Tensor latents_, timesteps_, output_;
  at::Tensor classes_;       // of a DiT
  at::Tensor texts_, mask_;  // of a PixArt
  FeedbackRows rows_;
};

TEST_P(FeedbackParityTest, Float32) { EXPECT_LE(MaxError(Run({}), output_), kBound); }

TEST_P(FeedbackParityTest, Float32WithoutTiles) {
  EXPECT_LE(MaxError(Run({.batch_invariant = false}), output_), kBound);
}

TEST_P(FeedbackParityTest, Float32AsTrained) {
  EXPECT_LE(MaxError(Run({.trainable = true}), output_), kBound);
}

TEST_P(FeedbackParityTest, RowsWithoutFeedbackAreThoseOfAPlainPass) {
  const at::Tensor plain = Plain(LoadBackbone());
  const at::Tensor mixed = Run({});
  for (int64_t row = 0; row < latents_.size(0); ++row) {
    const bool feeds_back =
        std::find(rows_.index.begin(), rows_.index.end(), row) != rows_.index.end();
    EXPECT_EQ(at::equal(plain[row], mixed[row]), !feeds_back) << "row " << row;
  }
}

TEST_P(FeedbackParityTest, ScalesOfZeroAtTheSourceTimestepGiveThePlainPassToTheBit) {
  FeedbackConfig config = ModuleConfig();
  config.feedback_timestep = config.inner_timestep = config.deep_timestep =
      FeedbackTimestep::kSource;
  const Transformer backbone = LoadBackbone();
  EXPECT_TRUE(at::equal(Pass(backbone, SilentModule(config), rows_), Plain(backbone)));
}

TEST_P(FeedbackParityTest, EveryRowCanRunFeedback) {
  std::vector<int64_t> all(latents_.size(0));
  std::iota(all.begin(), all.end(), 0);
  const at::Tensor targets =
      (timesteps_ / 2).index_copy(0, at::tensor(rows_.index), rows_.target_timesteps);
  const at::Tensor together = Pass(LoadBackbone(), LoadModule(), {all, targets});
  for (const int64_t row : {0, 3}) EXPECT_LE(MaxError(together[row], output_[row]), kBound);
}

INSTANTIATE_TEST_SUITE_P(Fixtures, FeedbackParityTest,
                         testing::Values("source", "target", "two_loops", "to_the_end",
                                         "later_parts_at_target", "pixart_source", "pixart_target"),
                         [](const auto& info) { return info.param; });

TransformerConfig FiveBlocks() {
  TransformerConfig config;
  config.num_layers = 5;
  return config;
}

std::string ErrorOf(const std::string& text) {
  return std::string(
      FeedbackConfig::FromJson(ValueOrDie(JsonConfig::FromText(text, "feedback/config.json")),
                               FiveBlocks())
          .status()
          .message());
}

TEST(FeedbackConfigTest, NamesTheKeyThatIsOutOfRange) {
  EXPECT_EQ(ErrorOf(R"({"first_inner_block": 5, "inner_blocks": 1})"),
            "feedback/config.json: first_inner_block must be 0 to 4, is 5");
  EXPECT_EQ(ErrorOf(R"({"first_inner_block": 3, "inner_blocks": 3})"),
            "feedback/config.json: inner_blocks must be 1 to 2, is 3");
  EXPECT_EQ(ErrorOf(R"({"first_inner_block": 3, "inner_blocks": 2, "extra_loops": 0})"),
            "feedback/config.json: extra_loops must be 1 to 8, is 0");
  EXPECT_EQ(ErrorOf(R"({"first_inner_block": 0, "inner_blocks": 2, "deep_timestep": "next"})"),
            "feedback/config.json: deep_timestep must be source or target, is 'next'");
}

TEST(FeedbackConfigTest, CountsTheExtraBlocksOfAPass) {
  const FeedbackConfig config = ValueOrDie(FeedbackConfig::FromJson(
      ValueOrDie(JsonConfig::FromText(
          R"({"first_inner_block": 1, "inner_blocks": 3, "extra_loops": 2})", "config.json")),
      FiveBlocks()));
  EXPECT_EQ(config.extra_blocks(), 2 * (3 + 1));
}

}  // namespace
}  // namespace ilf
