#include "engine/batching/step_batcher.h"

#include <algorithm>
#include <tuple>

#include "engine/base/check.h"

namespace ilf {

void StepBatcher::Add(const BatchableImage& image, absl::Time now) {
  images_.push_back({image.id, KeyIndex(image.batch_key), image.rows, image.tokens_per_row,
                     ServiceClaim{image.priority, image.deadline, now, image.arrival}});
}

void StepBatcher::Remove(ImageId id) {
  images_.erase(images_.begin() + (&Find(id) - images_.data()));
}

std::vector<ImageId> StepBatcher::Plan(absl::Time now) const {
  if (images_.empty()) return {};
  std::vector<Ranked> order;
  order.reserve(images_.size());
  for (const Image& image : images_) {
    order.push_back({&image, RankAt(image.claim, options_.max_wait, now)});
  }
  std::sort(order.begin(), order.end(),
            [](const Ranked& a, const Ranked& b) { return a.rank < b.rank; });
  const auto first =
      std::min_element(order.begin(), order.end(),
                       [this](const Ranked& a, const Ranked& b) { return KeyGoesFirst(a, b); });

  const size_t key = first->image->key;
  const int64_t budget = TokenBudget(keys_[key], now);
  std::vector<ImageId> batch;
  int rows = 0;
  int64_t tokens = 0;
  for (const auto& [image, rank] : order) {
    if (image->key != key) continue;
    const bool fits =
        rows + image->rows <= options_.max_batch_rows && tokens + image->tokens() <= budget;
    if (!batch.empty() && !fits) continue;
    batch.push_back(image->id);
    rows += image->rows;
    tokens += image->tokens();
  }
  return batch;
}

bool StepBatcher::KeyGoesFirst(const Ranked& a, const Ranked& b) const {
  if (a.rank.level != b.rank.level) return a.rank.level < b.rank.level;
  const bool waited_long = a.rank.level == 0;
  if (waited_long) return a.rank < b.rank;
  return std::tie(keys_[a.image->key].last_turn, a.rank) <
         std::tie(keys_[b.image->key].last_turn, b.rank);
}

void StepBatcher::Stepped(absl::Span<const ImageId> ids, absl::Time now) {
  ++turns_;
  for (const ImageId id : ids) {
    Image& image = Find(id);
    image.claim.waiting_since = now;
    keys_[image.key].last_turn = turns_;
  }
}

void StepBatcher::SetRows(ImageId id, int rows) { Find(id).rows = rows; }

void StepBatcher::OutOfMemory(absl::Span<const ImageId> ids, absl::Time now) {
  Check(!ids.empty(), "a batch has images");
  int64_t tokens = 0;
  for (const ImageId id : ids) tokens += Find(id).tokens();
  Key& key = keys_[Find(ids.front()).key];
  key.token_limit = std::max<int64_t>(1, std::min(tokens / 2, TokenBudget(key, now)));
  key.limited_until = now + options_.memory_backoff;
}

int64_t StepBatcher::TokenBudget(const Key& key, absl::Time now) const {
  return now < key.limited_until ? key.token_limit : options_.max_batch_tokens;
}

size_t StepBatcher::KeyIndex(absl::string_view name) {
  for (size_t i = 0; i < keys_.size(); ++i) {
    if (keys_[i].name == name) return i;
  }
  keys_.push_back({.name = std::string(name)});
  return keys_.size() - 1;
}

StepBatcher::Image& StepBatcher::Find(ImageId id) {
  const auto found =
      std::find_if(images_.begin(), images_.end(), [id](const Image& i) { return i.id == id; });
  Check(found != images_.end(), "the image is in the batcher");
  return *found;
}

}  // namespace ilf
