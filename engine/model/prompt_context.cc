#include "engine/model/prompt_context.h"

#include <algorithm>
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

std::vector<PromptRows::Segment> PromptRows::Of(int64_t begin, int64_t rows) const {
  std::vector<Segment> part;
  int64_t first = 0;
  for (const Segment& segment : segments_) {
    const int64_t from = std::max(begin, first);
    const int64_t to = std::min(begin + rows, first + segment.rows);
    first += segment.rows;
    if (from >= to) continue;
    Check(segment.context->prompts() == 1 || to - from == segment.rows,
          "a part of a context with several prompts");
    part.push_back({segment.context, to - from});
  }
  return part;
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
