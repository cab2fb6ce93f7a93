// Tokens that stand beside the pieces of a SentencePiece model: special ones such as </s>, and T5's
// <extra_id_N>. They are found in a text as they are written, before it is normalized.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace ilf {

struct AddedToken {
  std::string content;
  int64_t id = 0;
  bool lstrip = false;  // it swallows the white space on its left
  bool rstrip = false;  // and on its right
};

// A part of a text: an added token, or (token is null) what stands between them.
struct TextPart {
  absl::string_view text;
  const AddedToken* token = nullptr;
};

// Immutable, thread-safe.
class AddedTokens {
 public:
  AddedTokens() = default;
  explicit AddedTokens(std::vector<AddedToken> tokens);

  // Null when there is no token of this content.
  const AddedToken* Find(absl::string_view content) const;

  // The parts of `text` (valid UTF-8) in order, none of them empty. The leftmost token is taken,
  // the longest of those that start there. White space that a token swallows is in no part. The
  // parts point into `text` and into this object.
  std::vector<TextPart> Split(absl::string_view text) const;

 private:
  const AddedToken* LongestAt(absl::string_view text) const;

  std::map<std::string, AddedToken, std::less<>> by_content_;
};

}  // namespace ilf
