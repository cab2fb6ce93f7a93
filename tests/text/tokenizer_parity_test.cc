// The tokenizer against transformers' T5Tokenizer.
#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "engine/text/tokenizer.h"
#include "tests/text/tokenizer_expectations.h"

namespace ilf {
namespace {

using Ids = std::vector<int64_t>;

constexpr int64_t kNoLimit = 1 << 20;

Ids ExpectedIds(const nlohmann::json& prompt, const std::string& tokenizer) {
  return prompt.at(prompt.contains(tokenizer) ? tokenizer : "current").get<Ids>();
}

class TokenizerParityTest : public testing::TestWithParam<std::string> {
 protected:
  const absl::StatusOr<Tokenizer> tokenizer_ = Tokenizer::Load(TokenizerFixture(GetParam()));
  const nlohmann::json& prompts_ = TokenizerExpectations().at("prompts");
};

TEST_P(TokenizerParityTest, GivesTheSameIdsForAThousandPrompts) {
  ASSERT_TRUE(tokenizer_.ok()) << tokenizer_.status();
  ASSERT_EQ(prompts_.size(), 1000u);
  for (const auto& prompt : prompts_) {
    const auto ids = tokenizer_->Encode(prompt.at("text").get<std::string>(), kNoLimit);
    ASSERT_TRUE(ids.ok()) << ids.status();
    EXPECT_EQ(*ids, ExpectedIds(prompt, GetParam())) << prompt.at("text");
  }
}

TEST_P(TokenizerParityTest, CutsWhatIsTooLongInTheSameWay) {
  ASSERT_TRUE(tokenizer_.ok()) << tokenizer_.status();
  const auto& cut = TokenizerExpectations().at(GetParam() + "_cut");
  ASSERT_EQ(cut.size(), 3u);
  for (const auto& [max_tokens, expected] : cut.items()) {
    for (size_t i = 0; i < expected.size(); ++i) {
      const std::string text = prompts_[20 * i].at("text");
      EXPECT_EQ(*tokenizer_->Encode(text, std::stoll(max_tokens)), expected[i].get<Ids>()) << text;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Fixtures, TokenizerParityTest, testing::Values("current", "older", "bare"),
                         [](const auto& info) { return info.param; });

TEST(TokenizerThreadsTest, ServeManyThreadsAtOnce) {
  const auto tokenizer = Tokenizer::Load(TokenizerFixture("current"));
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  const auto& prompts = TokenizerExpectations().at("prompts");
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (const auto& prompt : prompts) {
        const auto ids = tokenizer->Encode(prompt.at("text").get<std::string>(), kNoLimit);
        if (!ids.ok() || *ids != ExpectedIds(prompt, "current")) ++wrong;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

}  // namespace
}  // namespace ilf
