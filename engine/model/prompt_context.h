// A prompt as the cross-attention of every block reads it: its keys and values, made once per
// prompt and shared by all steps and images.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include <ATen/core/Tensor.h>

namespace ilf {

// [prompts, heads, tokens, head_dim] each, in the execution's dtype.
struct KeyValue {
  at::Tensor key, value;
};

// Immutable once it is made, and shared. Usually of one prompt without padding; while training of
// one prompt for every row, padded to the longest.
struct PromptContext {
  at::Tensor tokens;  // [prompts, tokens, dim] float32: what keys and values are made of
  at::Tensor bias;    // [prompts, 1, 1, tokens], added to attention scores: -inf at padding.
                      // Undefined where there is none.
  // By block; those of the feedback module, where the model has one, come after the last.
  std::vector<KeyValue> keys_values;

  int64_t prompts() const { return tokens.size(0); }
  // Of all tensors, on the device.
  int64_t bytes() const;
  // Copies the tensors that are views of larger ones, such as of a padded tile of a linear layer,
  // so that the context keeps no more memory than bytes(). Before it is shared.
  void OwnItsBytes();
};

// The prompts of a batch's rows, in order. Cheap to copy. Empty for a model that reads no text.
class PromptRows {
 public:
  using Context = std::shared_ptr<const PromptContext>;

  // Neighbouring rows that share a context: of one prompt for all of them, or of one prompt each.
  struct Segment {
    Context context;
    int64_t rows = 0;
  };

  PromptRows() = default;
  // One prompt a row.
  explicit PromptRows(const std::vector<Context>& by_row);
  // As many rows as `context` has prompts.
  explicit PromptRows(Context context);

  // Those of the rows [begin, begin + rows). A context with several prompts is not divided.
  std::vector<Segment> Of(int64_t begin, int64_t rows) const;

  // The prompts of the rows `index`, in that order. Only of rows whose contexts hold one prompt.
  PromptRows Select(const std::vector<int64_t>& index) const;

 private:
  std::vector<Segment> segments_;
};

}  // namespace ilf
