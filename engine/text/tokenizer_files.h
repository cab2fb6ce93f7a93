// The files of a diffusers tokenizer/ directory.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "engine/text/added_tokens.h"
#include "engine/text/sentencepiece_model.h"

namespace ilf {

struct TokenizerFiles {
  std::unique_ptr<const SentencePieceModel> model;
  AddedTokens added;
  int64_t eos_id = 0;
  int64_t vocab_size = 0;  // one more than the largest id
};

// Reads spiece.model and, where they are, tokenizer_config.json, special_tokens_map.json and
// added_tokens.json, with the meaning that transformers' T5Tokenizer (before version 5, "legacy")
// gives them. Errors name the file: NOT_FOUND without a spiece.model, INVALID_ARGUMENT for what is
// broken or asks for another kind of tokenizer.
absl::StatusOr<TokenizerFiles> ReadTokenizerFiles(const std::string& directory);

}  // namespace ilf
