#include "engine/pipeline/prompt_reader.h"

#include <utility>

#include <ATen/ops/tensor.h>

#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "engine/text/prompt.h"

namespace ilf {
namespace {

// max_sequence_length of diffusers' pipelines.
constexpr int kAlphaTokens = 120;
constexpr int kSigmaTokens = 300;

absl::Status CheckThatPartsFit(const ModelDirectory& directory, const TransformerConfig& config,
                               const T5Config& text, const Tokenizer& tokenizer) {
  const auto wrong = [&](absl::string_view what) {
    return absl::InvalidArgumentError(absl::StrCat(directory.path, ": ", what));
  };
  if (text.d_model != config.text_channels()) {
    return wrong(absl::StrCat("text_encoder/config.json has d_model ", text.d_model,
                              " and transformer/config.json reads ", config.text_channels(),
                              " channels of text"));
  }
  if (tokenizer.vocab_size() > text.vocab_size) {
    return wrong(absl::StrCat("tokenizer/ has ", tokenizer.vocab_size(),
                              " tokens and text_encoder/config.json has vocab_size ",
                              text.vocab_size));
  }
  return absl::OkStatus();
}

}  // namespace

PromptRows::Context PromptCache::Find(const PromptTokens& tokens) {
  const absl::MutexLock lock(&mutex_);
  const auto found = by_tokens_.find(tokens);
  if (found == by_tokens_.end()) return nullptr;
  entries_.splice(entries_.begin(), entries_, found->second);
  return found->second->second;
}

void PromptCache::Insert(const PromptTokens& tokens, PromptRows::Context context) {
  const int64_t bytes = context->bytes();
  const absl::MutexLock lock(&mutex_);
  if (bytes > max_bytes_ || by_tokens_.contains(tokens)) return;
  entries_.emplace_front(tokens, std::move(context));
  by_tokens_[tokens] = entries_.begin();
  bytes_ += bytes;
  while (bytes_ > max_bytes_) {
    bytes_ -= entries_.back().second->bytes();
    by_tokens_.erase(entries_.back().first);
    entries_.pop_back();
  }
}

int64_t PromptCache::bytes() const {
  const absl::MutexLock lock(&mutex_);
  return bytes_;
}

PromptReader::PromptReader(Tokenizer tokenizer, T5Encoder encoder, int max_tokens,
                           int64_t cache_bytes)
    : tokenizer_(std::move(tokenizer)),
      encoder_(std::move(encoder)),
      max_tokens_(max_tokens),
      cache_(cache_bytes) {}

absl::StatusOr<std::unique_ptr<PromptReader>> PromptReader::Load(const ModelDirectory& directory,
                                                                 const TransformerConfig& config,
                                                                 const Execution& execution,
                                                                 int64_t cache_bytes) {
  if (!directory.text_encoder) {
    return absl::InvalidArgumentError(absl::StrCat(
        directory.model_index.origin(), ": a PixArt model needs text_encoder and tokenizer"));
  }
  ILF_ASSIGN_OR_RETURN(const std::string pipeline,
                       directory.model_index.GetString("_class_name", ""));
  ILF_ASSIGN_OR_RETURN(Tokenizer tokenizer, Tokenizer::Load(directory.TokenizerFolder()));
  ILF_ASSIGN_OR_RETURN(const T5Config text, T5Config::FromJson(*directory.text_encoder));
  ILF_RETURN_IF_ERROR(CheckThatPartsFit(directory, config, text, tokenizer));
  ILF_ASSIGN_OR_RETURN(StateDict weights,
                       StateDict::LoadFolder(directory.TextEncoderFolder(), "model"));
  ILF_ASSIGN_OR_RETURN(T5Encoder encoder, T5Encoder::Load(text, weights, execution));
  const int max_tokens = pipeline == "PixArtAlphaPipeline" ? kAlphaTokens : kSigmaTokens;
  return std::unique_ptr<PromptReader>(
      new PromptReader(std::move(tokenizer), std::move(encoder), max_tokens, cache_bytes));
}

absl::StatusOr<PromptTokens> PromptReader::Tokenize(absl::string_view prompt) const {
  ILF_ASSIGN_OR_RETURN(const std::string clean, CleanPrompt(prompt));
  return tokenizer_.Encode(clean, max_tokens_);
}

std::vector<at::Tensor> PromptReader::Encode(const std::vector<PromptTokens>& prompts) const {
  std::vector<at::Tensor> ids;
  for (const PromptTokens& tokens : prompts) ids.push_back(at::tensor(tokens));
  return encoder_(ids);
}

std::vector<PromptRows::Context> PromptReader::Read(
    const std::vector<PromptTokens>& prompts, const Denoiser& denoiser,
    const std::function<void(bool hit)>& seen) const {
  std::map<PromptTokens, PromptRows::Context> contexts;
  std::vector<PromptTokens> missing;
  std::vector<bool> hits;
  for (const PromptTokens& tokens : prompts) {
    const auto [entry, is_new] = contexts.try_emplace(tokens);
    if (is_new) {
      entry->second = cache_.Find(tokens);
      if (entry->second == nullptr) missing.push_back(tokens);
    }
    hits.push_back(!is_new || entry->second != nullptr);
  }
  if (!missing.empty()) {
    const std::vector<at::Tensor> states = Encode(missing);
    for (size_t i = 0; i < missing.size(); ++i) {
      PromptContext context = denoiser.ReadPrompt(states[i].unsqueeze(0));
      context.OwnItsBytes();
      contexts[missing[i]] = std::make_shared<const PromptContext>(std::move(context));
    }
  }
  for (const PromptTokens& tokens : missing) cache_.Insert(tokens, contexts.at(tokens));
  for (const bool hit : hits) seen(hit);
  std::vector<PromptRows::Context> read;
  for (const PromptTokens& tokens : prompts) read.push_back(contexts.at(tokens));
  return read;
}

}  // namespace ilf
