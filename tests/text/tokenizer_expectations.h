// What transformers and Python make of a thousand prompts (tests/fixtures/README.md).
#pragma once

#include <fstream>
#include <string>

#include "nlohmann/json.hpp"

namespace ilf {

inline std::string TokenizerFixture(const std::string& name) {
  return ILF_SOURCE_DIR "/tests/fixtures/tokenizers/" + name;
}

inline const nlohmann::json& TokenizerExpectations() {
  static const auto* const expected =
      new nlohmann::json(nlohmann::json::parse(std::ifstream(TokenizerFixture("expected.json"))));
  return *expected;
}

}  // namespace ilf
