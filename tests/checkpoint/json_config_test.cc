#include "engine/checkpoint/json_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>

#include "tests/checkpoint/test_files.h"

namespace ilf {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

JsonConfig Parse(const std::string& text) {
  auto config = JsonConfig::FromText(text, "config.json");
  EXPECT_TRUE(config.ok()) << config.status();
  return *std::move(config);
}

TEST(JsonConfigTest, ReadsEveryType) {
  const JsonConfig config = Parse(R"({"i": -3, "d": 0.5, "b": true, "s": "x", "l": [1, 2],
                                      "dl": [1, 0.5], "sl": ["a"], "m": {"0": "cat"}})");
  EXPECT_EQ(*config.GetInt("i"), -3);
  EXPECT_EQ(*config.GetDouble("d"), 0.5);
  EXPECT_EQ(*config.GetDouble("i"), -3.0);
  EXPECT_TRUE(*config.GetBool("b"));
  EXPECT_EQ(*config.GetString("s"), "x");
  EXPECT_THAT(*config.GetIntList("l"), ElementsAre(1, 2));
  EXPECT_THAT(*config.GetDoubleList("dl"), ElementsAre(1.0, 0.5));
  EXPECT_THAT(*config.GetStringList("sl"), ElementsAre("a"));
  EXPECT_THAT(*config.GetStringMap("m"), ElementsAre(Pair("0", "cat")));
}

TEST(JsonConfigTest, UsesTheFallbackForAbsentAndNullKeys) {
  const JsonConfig config = Parse(R"({"n": null})");
  EXPECT_FALSE(config.Has("n"));
  EXPECT_FALSE(config.Has("x"));
  EXPECT_EQ(*config.GetInt("n", 5), 5);
  EXPECT_EQ(*config.GetString("x", "y"), "y");
}

TEST(JsonConfigTest, NamesAKeyThatIsNotKnown) {
  const JsonConfig config = Parse(R"({"steps": 3, "stepps": 4})");
  EXPECT_TRUE(config.CheckKeys({"steps", "stepps", "solver"}).ok());
  EXPECT_EQ(config.CheckKeys({"steps", "solver"}).message(),
            "config.json: 'stepps' is not known; the keys are steps, solver");
}

TEST(JsonConfigTest, NamesFileKeyAndTypeOfAMissingKey) {
  const absl::Status status = Parse("{}").GetInt("num_layers").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(), "config.json: 'num_layers' is missing (expected an integer)");
}

TEST(JsonConfigTest, RefusesValuesOfAnotherTypeInSpiteOfAFallback) {
  const JsonConfig config = Parse(R"({"s": "4", "f": 4.0, "big": 9223372036854775808, "i": 1,
                                      "mixed": [1, "a"], "m": {"a": 1}})");
  EXPECT_EQ(config.GetInt("s", 1).status().message(), "config.json: 's' is not an integer");
  EXPECT_FALSE(config.GetInt("f", 1).ok());
  EXPECT_FALSE(config.GetInt("big", 1).ok());
  EXPECT_FALSE(config.GetDouble("s", 1).ok());
  EXPECT_FALSE(config.GetBool("i", false).ok());
  EXPECT_FALSE(config.GetString("i", "").ok());
  EXPECT_FALSE(config.GetIntList("mixed").ok());
  EXPECT_FALSE(config.GetStringList("mixed").ok());
  EXPECT_FALSE(config.GetIntList("i").ok());
  EXPECT_FALSE(config.GetStringMap("m").ok());
}

TEST(JsonConfigTest, AcceptsPythonsNonFiniteNumbers) {
  const JsonConfig config =
      Parse(R"({"a": -Infinity, "b": Infinity, "c": [NaN, 1], "s": "-Infinity \" NaN"})");
  EXPECT_EQ(*config.GetDouble("a"), -std::numeric_limits<double>::infinity());
  EXPECT_EQ(*config.GetDouble("b"), std::numeric_limits<double>::infinity());
  EXPECT_TRUE(std::isnan(config.GetDoubleList("c")->front()));
  EXPECT_EQ(*config.GetString("s"), "-Infinity \" NaN");
}

TEST(JsonConfigTest, RefusesWhatIsNotAnObject) {
  for (const char* text :
       {"", "[]", "1", "{", R"({"a": 1} x)", R"({"a": Inf})", "\"\\", "{\"a\": \"\xff\"}"}) {
    const auto config = JsonConfig::FromText(text, "config.json");
    EXPECT_EQ(config.status().code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_THAT(config.status().message(), HasSubstr("config.json")) << text;
  }
}

TEST(JsonConfigTest, RefusesAConfigThatIsTooLong) {
  const TemporaryDirectory directory;
  const auto config = JsonConfig::Load(directory.Write("a.json", std::string(5 << 20, ' ')));
  EXPECT_THAT(config.status().message(), HasSubstr("longer than"));
}

TEST(JsonConfigTest, LoadsAFileAndNamesOneThatIsMissing) {
  const TemporaryDirectory directory;
  const auto config = JsonConfig::Load(directory.Write("a.json", R"({"a": 1})"));
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(*config->GetInt("a"), 1);
  const auto missing = JsonConfig::Load(directory.path() + "/b.json");
  EXPECT_EQ(missing.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(missing.status().message(), HasSubstr("/b.json"));
  EXPECT_FALSE(JsonConfig::Load(directory.path()).ok());
}

TEST(JsonConfigTest, ADefaultConstructedConfigIsEmpty) {
  const JsonConfig config;
  EXPECT_FALSE(config.Has("a"));
  EXPECT_EQ(*config.GetInt("a", 2), 2);
}

}  // namespace
}  // namespace ilf
