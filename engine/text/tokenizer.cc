#include "engine/text/tokenizer.h"

#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/check.h"
#include "engine/base/status_macros.h"
#include "engine/text/utf8.h"

namespace ilf {

absl::StatusOr<Tokenizer> Tokenizer::Load(const std::string& directory) {
  ILF_ASSIGN_OR_RETURN(TokenizerFiles files, ReadTokenizerFiles(directory));
  return Tokenizer(std::move(files));
}

absl::Status Tokenizer::AppendText(absl::string_view text, std::vector<int64_t>& ids) const {
  std::vector<std::string> pieces;
  std::string error;
  if (!files_->model->Encode(std::string_view(text.data(), text.size()), pieces, error)) {
    return absl::InternalError(absl::StrCat("tokenizing the prompt: ", error));
  }
  for (const std::string& piece : pieces) {
    const AddedToken* const token = files_->added.Find(piece);
    ids.push_back(token != nullptr ? token->id : files_->model->PieceToId(piece));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<int64_t>> Tokenizer::Encode(absl::string_view prompt,
                                                       int64_t max_tokens) const {
  Check(max_tokens >= 1, "no room for </s>");
  if (absl::Status status = CheckUtf8(prompt); !status.ok()) {
    return absl::InvalidArgumentError(absl::StrCat("the prompt is ", status.message()));
  }
  std::vector<int64_t> ids;
  for (const TextPart& part : files_->added.Split(prompt)) {
    if (part.token != nullptr) {
      ids.push_back(part.token->id);
    } else {
      ILF_RETURN_IF_ERROR(AppendText(part.text, ids));
    }
  }
  if (static_cast<int64_t>(ids.size()) >= max_tokens) ids.resize(max_tokens - 1);
  if (ids.empty() || ids.back() != files_->eos_id) ids.push_back(files_->eos_id);
  return ids;
}

}  // namespace ilf
