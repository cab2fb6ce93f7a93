#include "engine/text/prompt.h"

#include <unicode/bytestream.h>
#include <unicode/casemap.h>
#include <unicode/stringpiece.h>

#include <cstdint>

#include "absl/strings/str_cat.h"
#include "engine/text/utf8.h"

namespace ilf {

absl::StatusOr<std::string> CleanPrompt(absl::string_view prompt) {
  if (absl::Status status = CheckUtf8(prompt); !status.ok()) {
    return absl::InvalidArgumentError(absl::StrCat("the prompt is ", status.message()));
  }
  std::string lower;
  icu::StringByteSink<std::string> sink(&lower);
  UErrorCode error = U_ZERO_ERROR;
  constexpr char kRootLocale[] = "";  // no language's own rules
  icu::CaseMap::utf8ToLower(kRootLocale, /*options=*/0,
                            icu::StringPiece(prompt.data(), static_cast<int32_t>(prompt.size())),
                            sink,
                            /*edits=*/nullptr, error);
  if (U_FAILURE(error)) {
    return absl::InternalError(absl::StrCat("lower-casing the prompt: ", u_errorName(error)));
  }
  return std::string(StripRight(StripLeft(lower)));
}

}  // namespace ilf
