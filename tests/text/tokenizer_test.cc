#include "engine/text/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "tests/testing/temp_path.h"
#include "tests/text/tokenizer_expectations.h"

namespace ilf {
namespace {

using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;

// A tokenizer directory of the test's own: the fixture's model and whatever files the test writes.
class TokenizerTest : public testing::Test {
 protected:
  TokenizerTest() {
    std::filesystem::remove_all(directory_);
    std::filesystem::create_directories(directory_);
    std::filesystem::copy(TokenizerFixture("bare/spiece.model"), directory_);
  }
  ~TokenizerTest() override { std::filesystem::remove_all(directory_); }

  void Write(const std::string& name, const std::string& text) const {
    std::ofstream(directory_ + "/" + name, std::ios::binary) << text;
  }

  // The message of an INVALID_ARGUMENT that names `file`, without the directory.
  std::string ErrorOf(const std::string& file) const {
    const absl::Status status = Tokenizer::Load(directory_).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(directory_ + "/" + file + ": "));
    return std::string(status.message());
  }

  const std::string directory_ = TestPath("tokenizer");
};

TEST_F(TokenizerTest, EndsEveryPromptOnce) {
  const auto tokenizer = Tokenizer::Load(directory_);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  EXPECT_THAT(*tokenizer->Encode("", 120), ElementsAre(1));
  EXPECT_THAT(*tokenizer->Encode(" </s> ", 120), ElementsAre(1));
  EXPECT_THAT(*tokenizer->Encode("</s></s>", 120), ElementsAre(1, 1));
  EXPECT_EQ(tokenizer->Encode("a red fox", 120)->back(), 1);
}

TEST_F(TokenizerTest, LeavesOnlyTheEndWhereThereIsNoRoom) {
  const auto tokenizer = Tokenizer::Load(directory_);
  EXPECT_THAT(*tokenizer->Encode("a red fox", 1), ElementsAre(1));
  EXPECT_THAT(*tokenizer->Encode("<pad> a red fox", 2), ElementsAre(0, 1));
}

TEST_F(TokenizerTest, KnowsAHundredExtraIdsBehindThePieces) {
  const auto tokenizer = Tokenizer::Load(directory_);
  EXPECT_EQ(tokenizer->vocab_size(), 1300);
  EXPECT_THAT(*tokenizer->Encode("<extra_id_0> <extra_id_99>", 120), ElementsAre(1299, 1200, 1));
}

TEST_F(TokenizerTest, TheConfigMayAskForFewerExtraIds) {
  Write("tokenizer_config.json", R"({"extra_ids": 2})");
  const auto tokenizer = Tokenizer::Load(directory_);
  EXPECT_EQ(tokenizer->vocab_size(), 1202);
  EXPECT_THAT(*tokenizer->Encode("<extra_id_1>", 120), ElementsAre(1200, 1));
}

TEST_F(TokenizerTest, TakesAddedTokensOfItsConfig) {
  Write("tokenizer_config.json",
        R"({"extra_ids": 0, "model_max_length": 1000000000000000019884624838656,
            "added_tokens_decoder": {"1200": {"content": "<fox>", "lstrip": true}}})");
  const auto tokenizer = Tokenizer::Load(directory_);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  EXPECT_THAT(*tokenizer->Encode(" <fox>", 120), ElementsAre(1200, 1));
}

TEST_F(TokenizerTest, RefusesAPromptThatIsNotUtf8) {
  const auto tokenizer = Tokenizer::Load(directory_);
  const absl::Status status = tokenizer->Encode("a\x80", 120).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(), "the prompt is not valid UTF-8 at byte 1");
}

TEST_F(TokenizerTest, SaysWhichFileIsMissing) {
  std::filesystem::remove(directory_ + "/spiece.model");
  const absl::Status status = Tokenizer::Load(directory_).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(status.message(), directory_ + "/spiece.model: no such file");
}

TEST_F(TokenizerTest, RefusesABrokenModel) {
  for (const std::string bytes : {"", "not a model", "\x0a\xff\xff\xff\xff\x0f"}) {
    Write("spiece.model", bytes);
    EXPECT_THAT(ErrorOf("spiece.model"), HasSubstr("not a SentencePiece model"));
  }
}

TEST_F(TokenizerTest, RefusesBrokenJson) {
  Write("tokenizer_config.json", "{");
  EXPECT_THAT(ErrorOf("tokenizer_config.json"), EndsWith("not a JSON object"));
  Write("tokenizer_config.json", "{}");
  Write("added_tokens.json", "[]");
  EXPECT_THAT(ErrorOf("added_tokens.json"), EndsWith("not a JSON object"));
}

TEST_F(TokenizerTest, RefusesIdsThatAreNone) {
  Write("added_tokens.json", R"({"<fox>": -1})");
  EXPECT_THAT(ErrorOf("added_tokens.json"), HasSubstr("the id of '<fox>' is not in [0, "));
  Write("tokenizer_config.json", R"({"added_tokens_decoder": {"x": {"content": "<fox>"}}})");
  EXPECT_THAT(ErrorOf("tokenizer_config.json"), HasSubstr("the id of 'x'"));
}

TEST_F(TokenizerTest, RefusesASpecialTokenWithoutAnId) {
  Write("special_tokens_map.json", R"({"eos_token": "<end>"})");
  EXPECT_THAT(ErrorOf("special_tokens_map.json"), HasSubstr("'eos_token' is '<end>', which is"));
}

TEST_F(TokenizerTest, RefusesSettingsUnderWhichIdsWouldDiffer) {
  const auto refusal_of = [&](const std::string& setting) {
    Write("tokenizer_config.json", "{" + setting + "}");
    return ErrorOf("tokenizer_config.json");
  };
  EXPECT_THAT(refusal_of(R"("tokenizer_class": "CLIPTokenizer")"), HasSubstr("only T5Tokenizer"));
  EXPECT_THAT(refusal_of(R"("legacy": false)"), HasSubstr("'legacy'"));
  EXPECT_THAT(refusal_of(R"("split_special_tokens": true)"), HasSubstr("split_special_tokens"));
  EXPECT_THAT(refusal_of(R"("sp_model_kwargs": {"alpha": 0.1})"), HasSubstr("sp_model_kwargs"));
  EXPECT_THAT(refusal_of(R"("added_tokens_decoder": {"7": {"content": "a", "single_word": true}})"),
              HasSubstr("single_word"));
}

}  // namespace
}  // namespace ilf
