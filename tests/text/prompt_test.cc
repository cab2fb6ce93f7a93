#include "engine/text/prompt.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unicode/uchar.h>
#include <unicode/utf8.h>

#include <cstdint>
#include <cstdio>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "tests/text/tokenizer_expectations.h"

namespace ilf {
namespace {

using testing::HasSubstr;

std::string Clean(const std::string& prompt) {
  auto clean = CleanPrompt(prompt);
  EXPECT_TRUE(clean.ok()) << clean.status();
  return *std::move(clean);
}

TEST(PromptTest, IsLowerCasedAndStripped) {
  EXPECT_EQ(Clean("  A Red FOX \n"), "a red fox");
  EXPECT_EQ(Clean(""), "");
  EXPECT_EQ(Clean("\xE3\x80\x80\x1C "), "");
}

TEST(PromptTest, FollowsUnicodeWhereACharacterIsNotLowerCasedAlone) {
  EXPECT_EQ(Clean("\u0130stanbul"), "i\u0307stanbul");
  EXPECT_EQ(Clean("\u039F\u0394\u039F\u03A3 \u03A3\u0391\u03A3"),
            "\u03BF\u03B4\u03BF\u03C2 \u03C3\u03B1\u03C2");
}

TEST(PromptTest, KeepsZeroBytes) {
  EXPECT_EQ(Clean(std::string("A\0B", 3)), std::string("a\0b", 3));
}

TEST(PromptTest, RefusesWhatIsNotUtf8AndSaysWhere) {
  for (const char* bad :
       {"ab\xFF", "ab\xC0\x80", "ab\xED\xA0\x80", "ab\xE2\x82", "ab\xF4\x90\x80\x80"}) {
    const absl::Status status = CleanPrompt(bad).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(status.message(), "the prompt is not valid UTF-8 at byte 2");
  }
}

TEST(PromptTest, IsWhatPythonMakesOfAThousandPrompts) {
  const auto& prompts = TokenizerExpectations().at("prompts");
  ASSERT_EQ(prompts.size(), 1000u);
  for (const auto& prompt : prompts) {
    EXPECT_EQ(Clean(prompt.at("text")), prompt.at("clean").get<std::string>());
  }
}

// The characters that Python's version of Unicode knows; a newer ICU knows more.
bool IsKnownToPython(UChar32 c) {
  UVersionInfo age;
  u_charAge(c, age);
  const auto category = u_charType(c);
  return age[0] >= 1 && age[0] <= 14 && category != U_UNASSIGNED && category != U_SURROGATE &&
         category != U_PRIVATE_USE_CHAR;
}

// In every position that lower-casing and stripping look at. The fixture holds a hash for each.
TEST(PromptTest, IsWhatPythonMakesOfEveryCharacter) {
  ASSERT_EQ(TokenizerExpectations().at("unicode"), "14.0.0");
  for (const auto& [pattern, expected] : TokenizerExpectations().at("lower_and_strip").items()) {
    uint64_t hash = 0xCBF29CE484222325;  // FNV-1a
    for (UChar32 c = 0; c < 0x110000; ++c) {
      if (!IsKnownToPython(c)) continue;
      char bytes[U8_MAX_LENGTH];
      int length = 0;
      U8_APPEND_UNSAFE(bytes, length, c);
      const std::string text = absl::StrReplaceAll(pattern, {{"X", std::string(bytes, length)}});
      for (const char byte : Clean(text) + "\n") {
        hash = (hash ^ static_cast<uint8_t>(byte)) * 0x100000001B3;
      }
    }
    EXPECT_EQ(absl::StrCat(absl::Hex(hash, absl::kZeroPad16)), expected.get<std::string>())
        << pattern;
  }
}

}  // namespace
}  // namespace ilf
