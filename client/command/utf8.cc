#include "client/command/utf8.h"

#include <glib.h>

namespace ilf {

std::optional<size_t> FindInvalidUtf8(absl::string_view text) {
  const char* end = nullptr;
  if (g_utf8_validate_len(text.data(), text.size(), &end)) return std::nullopt;
  return static_cast<size_t>(end - text.data());
}

}  // namespace ilf
