#include "engine/model/t5_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace ilf {
namespace {

using testing::HasSubstr;

absl::StatusOr<T5Config> Parse(const std::string& text) {
  return T5Config::FromJson(*JsonConfig::FromText(text, "te/config.json"));
}

TEST(T5ConfigTest, ReadsTheConfigOfT5XxlV11) {
  const auto config =
      Parse(R"({"model_type": "t5", "vocab_size": 32128, "d_model": 4096, "d_kv": 64,
      "num_heads": 64, "d_ff": 10240, "num_layers": 24, "feed_forward_proj": "gated-gelu",
      "relative_attention_num_buckets": 32, "layer_norm_epsilon": 1e-06, "dropout_rate": 0.1})");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->d_model, 4096);
  EXPECT_EQ(config->d_ff, 10240);
  EXPECT_EQ(config->num_layers, 24);
  EXPECT_EQ(config->relative_attention_max_distance, 128);  // absent from files of that time
  EXPECT_TRUE(config->gated);
}

std::string Small(const std::string& more) {
  return R"({"vocab_size": 8, "d_model": 8, "d_kv": 4, "num_heads": 2, "d_ff": 16, "num_layers": 2)" +
         more + "}";
}

TEST(T5ConfigTest, WhatOldFilesLeaveOutHasTheDefaultsOfTransformers) {
  const auto config = Parse(Small(""));
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->relative_attention_num_buckets, 32);
  EXPECT_EQ(config->relative_attention_max_distance, 128);
  EXPECT_EQ(config->layer_norm_epsilon, 1e-6);
  EXPECT_FALSE(config->gated);
}

TEST(T5ConfigTest, NamesWhatItCannotRun) {
  const auto message = [](const std::string& text) {
    const absl::Status status = Parse(text).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << text;
    return std::string(status.message());
  };
  EXPECT_EQ(message(R"({"model_type": "umt5"})"),
            "te/config.json: model_type is 'umt5', only t5 is read");
  EXPECT_THAT(message(Small(R"(, "feed_forward_proj": "gated-silu")")),
              HasSubstr("feed_forward_proj 'gated-silu' is not supported"));
  EXPECT_THAT(message(R"({"vocab_size": 8, "d_model": 0})"),
              HasSubstr("d_model is 0, allowed is 1 to"));
  EXPECT_THAT(message(R"({"vocab_size": "many"})"), HasSubstr("'vocab_size' is not an integer"));
  EXPECT_THAT(message(R"({"d_model": 8})"), HasSubstr("'vocab_size'"));
  EXPECT_THAT(message(Small(R"(, "relative_attention_num_buckets": 3)")),
              HasSubstr("relative_attention_num_buckets must be at least 4"));
  EXPECT_THAT(message(Small(R"(, "relative_attention_max_distance": 8)")),
              HasSubstr("relative_attention_max_distance greater than a quarter"));
  EXPECT_THAT(message(Small(R"(, "layer_norm_epsilon": 0)")), HasSubstr("layer_norm_epsilon"));
}

}  // namespace
}  // namespace ilf
