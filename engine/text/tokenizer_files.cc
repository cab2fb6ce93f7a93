#include "engine/text/tokenizer_files.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "nlohmann/json.hpp"

namespace ilf {
namespace {

using nlohmann::json;

constexpr size_t kMaxModelBytes = 256 << 20;
constexpr size_t kMaxJsonBytes = 64 << 20;
constexpr int64_t kMaxId = 1 << 24;
constexpr char kExtraId[] = "<extra_id_";

absl::Status Wrong(absl::string_view path, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(path, ": ", what));
}

absl::StatusOr<std::string> ReadFile(const std::string& path, size_t limit) {
  std::error_code error;
  if (!std::filesystem::exists(path, error)) {
    return absl::NotFoundError(absl::StrCat(path, ": no such file"));
  }
  const uintmax_t size = std::filesystem::file_size(path, error);
  if (error) return Wrong(path, absl::StrCat("cannot read: ", error.message()));
  if (size > limit) return Wrong(path, absl::StrCat("longer than ", limit, " bytes"));
  std::string bytes(size, '\0');
  std::ifstream file(path, std::ios::binary);
  if (!file.read(bytes.data(), static_cast<std::streamsize>(size))) {
    return Wrong(path, "cannot read");
  }
  return bytes;
}

// One JSON object and the file that it came from; without a file, empty.
struct JsonFile {
  std::string path;
  json root = json::object();

  // The value of a key; null where it is absent.
  json Get(const char* key) const { return root.value(key, json()); }
};

absl::StatusOr<JsonFile> ReadJsonIfThere(const std::string& path) {
  JsonFile file{.path = path};
  auto text = ReadFile(path, kMaxJsonBytes);
  if (absl::IsNotFound(text.status())) return file;
  if (!text.ok()) return text.status();
  file.root = json::parse(*text, /*callback=*/nullptr, /*allow_exceptions=*/false);
  if (!file.root.is_object()) return Wrong(path, "not a JSON object");
  return file;
}

absl::StatusOr<int64_t> AsId(const JsonFile& file, absl::string_view name, const json& value) {
  if (value.is_number_integer()) {
    const auto id = value.get<int64_t>();
    if (id >= 0 && id < kMaxId) return id;
  }
  return Wrong(file.path, absl::StrCat("the id of '", name, "' is not in [0, ", kMaxId, ")"));
}

// A token is written as its content, or as an object.
absl::StatusOr<AddedToken> AsToken(const JsonFile& file, const std::string& name,
                                   const json& value) {
  if (value.is_string()) return AddedToken{.content = value.get<std::string>()};
  const auto flag = [&](const char* key) { return value.value(key, json(false)); };
  if (!value.is_object() || !value.value("content", json()).is_string() ||
      !flag("lstrip").is_boolean() || !flag("rstrip").is_boolean()) {
    return Wrong(file.path, absl::StrCat("'", name, "' is not a token"));
  }
  if (flag("single_word") != false) {
    return Wrong(file.path, absl::StrCat("'", name, "': single_word is not supported"));
  }
  return AddedToken{.content = value["content"].get<std::string>(),
                    .lstrip = flag("lstrip").get<bool>(),
                    .rstrip = flag("rstrip").get<bool>()};
}

// Settings under which T5Tokenizer would give other ids than we do.
absl::Status CheckKind(const JsonFile& config) {
  const json kind = config.Get("tokenizer_class");
  if (!kind.is_null() && kind != "T5Tokenizer" && kind != "T5TokenizerFast") {
    return Wrong(config.path,
                 "'tokenizer_class' is " + kind.dump() + "; only T5Tokenizer is known");
  }
  if (config.Get("legacy") == false) {
    return Wrong(config.path, "'legacy' is false, which is not supported");
  }
  if (config.Get("split_special_tokens") == true) {
    return Wrong(config.path, "'split_special_tokens' is not supported");
  }
  const json options = config.Get("sp_model_kwargs");
  if (!options.is_null() && !options.empty()) {
    return Wrong(config.path, "'sp_model_kwargs' is not supported");
  }
  return absl::OkStatus();
}

using TokenById = std::map<int64_t, AddedToken>;

void Put(TokenById& tokens, int64_t id, AddedToken token) {
  token.id = id;
  tokens.insert_or_assign(id, std::move(token));
}

bool Has(const TokenById& tokens, const std::string& content) {
  return std::any_of(tokens.begin(), tokens.end(),
                     [&](const auto& entry) { return entry.second.content == content; });
}

class TokenReader {
 public:
  TokenReader(const SentencePieceModel& model, std::string directory)
      : model_(model), directory_(std::move(directory)) {}

  absl::Status Read() {
    ILF_ASSIGN_OR_RETURN(config_, ReadJsonIfThere(directory_ + "/tokenizer_config.json"));
    ILF_RETURN_IF_ERROR(CheckKind(config_));
    // Newer files say everything in tokenizer_config.json; then the two others do not count.
    const bool is_complete = config_.root.contains("added_tokens_decoder");
    special_.path = directory_ + "/special_tokens_map.json";
    if (!is_complete) {
      ILF_ASSIGN_OR_RETURN(special_, ReadJsonIfThere(special_.path));
    }
    ILF_RETURN_IF_ERROR(PutExtraIds());
    ILF_RETURN_IF_ERROR(is_complete ? PutFromConfig() : PutFromAddedTokens());
    return PutSpecialTokens();
  }

  int64_t eos_id() const { return eos_id_; }

  std::vector<AddedToken> Tokens() const {
    std::vector<AddedToken> tokens;
    for (const auto& [id, token] : tokens_) tokens.push_back(token);
    return tokens;
  }

 private:
  // special_tokens_map.json goes before tokenizer_config.json.
  const JsonFile& FileWith(const char* key) const {
    return special_.root.contains(key) ? special_ : config_;
  }

  // <extra_id_0> is the last id, counting down to the one after the model's pieces.
  absl::Status PutExtraIds() {
    const json count = config_.Get("extra_ids");
    int64_t extra_ids = 100;
    if (!count.is_null()) {
      ILF_ASSIGN_OR_RETURN(extra_ids, AsId(config_, "extra_ids", count));
    }
    for (int64_t i = 0; i < extra_ids; ++i) {
      Put(tokens_, model_.piece_count() - 1 + extra_ids - i,
          {.content = absl::StrCat(kExtraId, i, ">"), .lstrip = true, .rstrip = true});
    }
    return absl::OkStatus();
  }

  absl::Status PutFromConfig() {
    const json decoder = config_.Get("added_tokens_decoder");
    if (!decoder.is_object()) return Wrong(config_.path, "'added_tokens_decoder' is not an object");
    for (const auto& [key, value] : decoder.items()) {
      int64_t number = -1;
      if (!absl::SimpleAtoi(key, &number)) number = -1;
      ILF_ASSIGN_OR_RETURN(const int64_t id, AsId(config_, key, number));
      ILF_ASSIGN_OR_RETURN(AddedToken token,
                           AsToken(config_, "added_tokens_decoder." + key, value));
      Put(tokens_, id, std::move(token));
    }
    return absl::OkStatus();
  }

  absl::Status PutFromAddedTokens() {
    ILF_ASSIGN_OR_RETURN(const JsonFile added, ReadJsonIfThere(directory_ + "/added_tokens.json"));
    for (const auto& [content, value] : added.root.items()) {
      ILF_ASSIGN_OR_RETURN(const int64_t id, AsId(added, content, value));
      Put(tokens_, id, {.content = content});
    }
    return absl::OkStatus();
  }

  absl::Status PutSpecialTokens() {
    constexpr std::pair<const char*, const char*> kNames[] = {
        {"eos_token", "</s>"}, {"unk_token", "<unk>"}, {"pad_token", "<pad>"}};
    for (const auto& [name, usual] : kNames) {
      const JsonFile& file = FileWith(name);
      json value = file.Get(name);
      if (value.is_null()) value = usual;
      ILF_RETURN_IF_ERROR(PutSpecialToken(file, name, value));
    }
    const JsonFile& file = FileWith("additional_special_tokens");
    for (const json& value : file.Get("additional_special_tokens")) {
      ILF_RETURN_IF_ERROR(PutSpecialToken(file, "additional_special_tokens", value));
    }
    for (const auto& [id, token] : tokens_) {
      if (token.content == eos_content_) eos_id_ = id;
    }
    return absl::OkStatus();
  }

  // A special token that is not among the added ones is a piece of the model.
  absl::Status PutSpecialToken(const JsonFile& file, const std::string& name, const json& value) {
    ILF_ASSIGN_OR_RETURN(AddedToken token, AsToken(file, name, value));
    if (name == "eos_token") eos_content_ = token.content;
    if (Has(tokens_, token.content)) return absl::OkStatus();
    if (!model_.HasPiece(token.content)) {
      return Wrong(file.path, absl::StrCat("'", name, "' is '", token.content,
                                           "', which is neither a piece of spiece.model nor an "
                                           "added token"));
    }
    const int64_t id = model_.PieceToId(token.content);
    Put(tokens_, id, std::move(token));
    return absl::OkStatus();
  }

  const SentencePieceModel& model_;
  const std::string directory_;
  JsonFile config_;
  JsonFile special_;
  TokenById tokens_;
  std::string eos_content_;
  int64_t eos_id_ = 0;
};

}  // namespace

absl::StatusOr<TokenizerFiles> ReadTokenizerFiles(const std::string& directory) {
  const std::string path = directory + "/spiece.model";
  ILF_ASSIGN_OR_RETURN(const std::string bytes, ReadFile(path, kMaxModelBytes));
  TokenizerFiles files;
  std::string error;
  files.model = SentencePieceModel::FromBytes(bytes, error);
  if (files.model == nullptr) {
    return Wrong(path, absl::StrCat("not a SentencePiece model: ", error));
  }
  TokenReader reader(*files.model, directory);
  ILF_RETURN_IF_ERROR(reader.Read());
  files.eos_id = reader.eos_id();
  files.vocab_size = files.model->piece_count();
  for (const AddedToken& token : reader.Tokens()) {
    files.vocab_size = std::max(files.vocab_size, token.id + 1);
  }
  files.added = AddedTokens(reader.Tokens());
  return files;
}

}  // namespace ilf
