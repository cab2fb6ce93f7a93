// From prompts to what the transformer's cross-attention reads, through tokenizer and text encoder,
// with a cache.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "engine/checkpoint/model_directory.h"
#include "engine/model/execution.h"
#include "engine/model/t5_encoder.h"
#include "engine/pipeline/denoiser.h"
#include "engine/text/tokenizer.h"

namespace ilf {

// Token ids of a prompt.
using PromptTokens = std::vector<int64_t>;

// Contexts by tokens; those that were used last are kept, up to a number of bytes. Thread-safe.
class PromptCache {
 public:
  explicit PromptCache(int64_t max_bytes) : max_bytes_(max_bytes) {}

  // Null when it is not there.
  PromptRows::Context Find(const PromptTokens& tokens);
  // What alone is larger than the cache is not kept.
  void Insert(const PromptTokens& tokens, PromptRows::Context context);

  int64_t bytes() const;

 private:
  using Entry = std::pair<PromptTokens, PromptRows::Context>;

  const int64_t max_bytes_;
  mutable absl::Mutex mutex_;
  std::list<Entry> entries_ ABSL_GUARDED_BY(mutex_);  // the one used last comes first
  std::map<PromptTokens, std::list<Entry>::iterator> by_tokens_ ABSL_GUARDED_BY(mutex_);
  int64_t bytes_ ABSL_GUARDED_BY(mutex_) = 0;
};

// Const after Load but for the cache, and thread-safe.
class PromptReader {
 public:
  // Reads `directory`'s tokenizer/ and text_encoder/, for a transformer of `config`.
  // INVALID_ARGUMENT names the file and the reason.
  static absl::StatusOr<std::unique_ptr<PromptReader>> Load(const ModelDirectory& directory,
                                                            const TransformerConfig& config,
                                                            const Execution& execution,
                                                            int64_t cache_bytes);

  // Ids of the cleaned prompt, at most max_tokens() with </s>: what is longer is cut, as diffusers
  // does. INVALID_ARGUMENT unless it is valid UTF-8.
  absl::StatusOr<PromptTokens> Tokenize(absl::string_view prompt) const;
  int max_tokens() const { return max_tokens_; }

  // The text encoder's states of each prompt, [tokens, channels], in one pass.
  std::vector<at::Tensor> Encode(const std::vector<PromptTokens>& prompts) const;

  // A context for each of `prompts`. Those that the cache does not have go through the text encoder
  // in one pass, each of them once. `seen` is told of every prompt whether the cache had it. Where
  // this throws (out of memory), nothing was kept and nothing told: it can be tried with fewer.
  std::vector<PromptRows::Context> Read(const std::vector<PromptTokens>& prompts,
                                        const Denoiser& denoiser,
                                        const std::function<void(bool hit)>& seen) const;

 private:
  PromptReader(Tokenizer tokenizer, T5Encoder encoder, int max_tokens, int64_t cache_bytes);

  const Tokenizer tokenizer_;
  const T5Encoder encoder_;
  const int max_tokens_;
  mutable PromptCache cache_;
};

}  // namespace ilf
