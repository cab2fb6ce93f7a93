#include "engine/text/added_tokens.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace ilf {
namespace {

using testing::ElementsAre;

const AddedTokens& Tokens() {
  static const AddedTokens tokens({{.content = "</s>", .id = 1},
                                   {.content = "<a>", .id = 5, .lstrip = true, .rstrip = true},
                                   {.content = "<a>>", .id = 6},
                                   {.content = "<ab", .id = 7}});
  return tokens;
}

// Tokens as #id.
std::vector<std::string> Split(const std::string& text) {
  std::vector<std::string> parts;
  for (const TextPart& part : Tokens().Split(text)) {
    parts.push_back(part.token != nullptr ? "#" + std::to_string(part.token->id)
                                          : std::string(part.text));
  }
  return parts;
}

TEST(AddedTokensTest, SplitsATextAtItsTokens) {
  EXPECT_THAT(Split(""), ElementsAre());
  EXPECT_THAT(Split("a fox"), ElementsAre("a fox"));
  EXPECT_THAT(Split("</s>"), ElementsAre("#1"));
  EXPECT_THAT(Split("a </s></s>b"), ElementsAre("a ", "#1", "#1", "b"));
}

TEST(AddedTokensTest, TakesTheLongestTokenOfThoseThatStartAtAPlace) {
  EXPECT_THAT(Split("<a>>x"), ElementsAre("#6", "x"));
  EXPECT_THAT(Split("<ab>"), ElementsAre("#7", ">"));
  EXPECT_THAT(Split("<<a>"), ElementsAre("<", "#5"));
  EXPECT_THAT(Split("<a"), ElementsAre("<a"));
}

TEST(AddedTokensTest, ATokenSwallowsWhiteSpaceOnlyOnTheSidesThatItSays) {
  EXPECT_THAT(Split(" x \t<a>\xC2\xA0\x1F y "), ElementsAre(" x", "#5", "y "));
  EXPECT_THAT(Split(" <a> </s> "), ElementsAre("#5", "#1", " "));
}

TEST(AddedTokensTest, FindsATokenByItsContent) {
  ASSERT_NE(Tokens().Find("<ab"), nullptr);
  EXPECT_EQ(Tokens().Find("<ab")->id, 7);
  EXPECT_EQ(Tokens().Find("<"), nullptr);
}

}  // namespace
}  // namespace ilf
