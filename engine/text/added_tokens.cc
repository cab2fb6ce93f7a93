#include "engine/text/added_tokens.h"

#include <utility>

#include "absl/strings/match.h"
#include "engine/text/utf8.h"

namespace ilf {

AddedTokens::AddedTokens(std::vector<AddedToken> tokens) {
  for (AddedToken& token : tokens) {
    if (token.content.empty()) continue;
    std::string content = token.content;
    by_content_.insert_or_assign(std::move(content), std::move(token));
  }
}

const AddedToken* AddedTokens::Find(absl::string_view content) const {
  const auto found = by_content_.find(content);
  return found == by_content_.end() ? nullptr : &found->second;
}

// Tokens that are prefixes of `text` sort before it, the longest last; others may stand between,
// but all of them share the first byte.
const AddedToken* AddedTokens::LongestAt(absl::string_view text) const {
  for (auto next = by_content_.upper_bound(text); next != by_content_.begin();) {
    --next;
    if (absl::StartsWith(text, next->first)) return &next->second;
    if (next->first[0] != text[0]) return nullptr;
  }
  return nullptr;
}

std::vector<TextPart> AddedTokens::Split(absl::string_view text) const {
  std::vector<TextPart> parts;
  size_t begin = 0;  // of the text since the last token
  const AddedToken* previous = nullptr;
  const auto add_text = [&](size_t end, const AddedToken* next) {
    absl::string_view between = text.substr(begin, end - begin);
    if (previous != nullptr && previous->rstrip) between = StripLeft(between);
    if (next != nullptr && next->lstrip) between = StripRight(between);
    if (!between.empty()) parts.push_back({between, nullptr});
  };
  for (size_t i = 0; i < text.size();) {
    const AddedToken* const token = LongestAt(text.substr(i));
    if (token == nullptr) {
      ++i;
      continue;
    }
    add_text(i, token);
    parts.push_back({text.substr(i, token->content.size()), token});
    i += token->content.size();
    begin = i;
    previous = token;
  }
  add_text(text.size(), nullptr);
  return parts;
}

}  // namespace ilf
