#include "engine/text/utf8.h"

#include <unicode/uchar.h>
#include <unicode/utf8.h>

#include <cstdint>

#include "absl/strings/str_cat.h"

namespace ilf {
namespace {

// ICU counts in 32 bits, and a character may grow to three times its bytes.
constexpr size_t kMaxBytes = 1 << 29;

bool IsPythonSpace(UChar32 c) { return u_isUWhiteSpace(c) || (c >= 0x1C && c <= 0x1F); }

}  // namespace

absl::Status CheckUtf8(absl::string_view text) {
  if (text.size() > kMaxBytes) return absl::InvalidArgumentError("too long");
  const auto* const bytes = reinterpret_cast<const uint8_t*>(text.data());
  const auto size = static_cast<int32_t>(text.size());
  for (int32_t next = 0; next < size;) {
    const int32_t begin = next;
    UChar32 c = 0;
    U8_NEXT(bytes, next, size, c);
    if (c < 0) {
      return absl::InvalidArgumentError(absl::StrCat("not valid UTF-8 at byte ", begin));
    }
  }
  return absl::OkStatus();
}

absl::string_view StripLeft(absl::string_view text) {
  const auto* const bytes = reinterpret_cast<const uint8_t*>(text.data());
  const auto size = static_cast<int32_t>(text.size());
  int32_t begin = 0;
  for (int32_t next = 0; next < size; begin = next) {
    UChar32 c = 0;
    U8_NEXT(bytes, next, size, c);
    if (!IsPythonSpace(c)) break;
  }
  return text.substr(begin);
}

absl::string_view StripRight(absl::string_view text) {
  const auto* const bytes = reinterpret_cast<const uint8_t*>(text.data());
  auto end = static_cast<int32_t>(text.size());
  for (int32_t previous = end; previous > 0; end = previous) {
    UChar32 c = 0;
    U8_PREV(bytes, 0, previous, c);
    if (!IsPythonSpace(c)) break;
  }
  return text.substr(0, end);
}

}  // namespace ilf
