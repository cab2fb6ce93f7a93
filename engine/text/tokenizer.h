// Prompts to token ids, for T5 text encoders.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/text/tokenizer_files.h"

namespace ilf {

// Gives the ids of transformers' T5Tokenizer (before version 5, in its "legacy" behaviour, which
// PixArt's checkpoints name). Immutable, thread-safe, cheap to copy.
class Tokenizer {
 public:
  // `directory` is a diffusers tokenizer/ directory; errors as ReadTokenizerFiles.
  static absl::StatusOr<Tokenizer> Load(const std::string& directory);

  // At most `max_tokens` (>= 1) ids, the last of which is </s>: what is too long is cut at the end.
  // There is no padding. Special tokens that the prompt spells out ("</s>", "<pad>", "<unk>",
  // "<extra_id_7>") become their ids; a prompt that ends in </s> gets no second one. The prompt is
  // taken as it is: CleanPrompt comes before. INVALID_ARGUMENT unless it is valid UTF-8.
  absl::StatusOr<std::vector<int64_t>> Encode(absl::string_view prompt, int64_t max_tokens) const;

  // Ids are in [0, vocab_size()); the text encoder must know as many.
  int64_t vocab_size() const { return files_->vocab_size; }

 private:
  explicit Tokenizer(TokenizerFiles files)
      : files_(std::make_shared<const TokenizerFiles>(std::move(files))) {}

  absl::Status AppendText(absl::string_view text, std::vector<int64_t>& ids) const;

  std::shared_ptr<const TokenizerFiles> files_;
};

}  // namespace ilf
