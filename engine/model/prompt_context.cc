#include "engine/model/prompt_context.h"

#include <utility>

#include "engine/base/check.h"

namespace ilf {
namespace {

int64_t BytesOf(const at::Tensor& tensor) {
  return tensor.defined() ? static_cast<int64_t>(tensor.nbytes()) : 0;
}

void OwnBytes(at::Tensor& tensor) {
  if (!tensor.defined() || tensor.storage().nbytes() <= tensor.nbytes()) return;
  tensor = tensor.clone(at::MemoryFormat::Contiguous);
}

}  // namespace

int64_t PromptContext::bytes() const {
  int64_t sum = BytesOf(tokens) + BytesOf(bias);
  for (const KeyValue& kv : keys_values) sum += BytesOf(kv.key) + BytesOf(kv.value);
  return sum;
}

void PromptContext::OwnItsBytes() {
  OwnBytes(tokens);
  OwnBytes(bias);
  for (KeyValue& kv : keys_values) {
    OwnBytes(kv.key);
    OwnBytes(kv.value);
  }
}

PromptRows::PromptRows(const std::vector<Context>& by_row) {
  for (const Context& context : by_row) {
    if (segments_.empty() || segments_.back().context != context) segments_.push_back({context, 0});
    ++segments_.back().rows;
  }
}

PromptRows::PromptRows(Context context) {
  const int64_t rows = context->prompts();
  segments_.push_back({std::move(context), rows});
}

PromptRows PromptRows::Select(const std::vector<int64_t>& index) const {
  std::vector<Context> by_row;
  for (const Segment& segment : segments_) {
    Check(segment.context->prompts() == 1, "rows of a context with several prompts");
    by_row.insert(by_row.end(), segment.rows, segment.context);
  }
  std::vector<Context> selected;
  if (by_row.empty()) return {};
  for (const int64_t row : index) selected.push_back(by_row[row]);
  return PromptRows(selected);
}

}  // namespace ilf
