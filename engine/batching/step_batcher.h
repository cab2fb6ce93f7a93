// Which images of one worker take their next step together.
//
// A plain data structure: no threads, no tensors, and the time is an argument.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "engine/batching/service_order.h"

namespace ilf {

struct BatcherOptions {
  // Transformer rows of one forward pass; an image with guidance takes two. An image that needs
  // more than this goes alone.
  int max_batch_rows = 32;
  // Tokens of these rows in all, which is what time and memory of a pass grow with. An image that
  // needs more than this goes alone.
  int64_t max_batch_tokens = 32768;
  // An image that has not stepped for so long counts as highest.
  absl::Duration max_wait = absl::Seconds(2);
  // After the device ran out of memory, how long batches of that key, of whatever sizes, stay at
  // half the tokens.
  absl::Duration memory_backoff = absl::Minutes(1);
};

using ImageId = int;  // chosen by the caller, unique among the images in one batcher

struct BatchableImage {
  ImageId id = 0;
  std::string batch_key;  // images with equal keys can share a forward pass
  int rows = 1;           // of its next step
  int64_t tokens_per_row = 1;
  Priority priority = Priority::kNormal;
  absl::Time deadline = absl::InfiniteFuture();
  uint64_t arrival = 0;  // smaller = earlier
};

// Batch keys of equal urgency take turns; within a key images go in service order (service_order.h)
// as far as rows and tokens allow. Memory grows with the number of distinct batch keys.
class StepBatcher {
 public:
  explicit StepBatcher(const BatcherOptions& options) : options_(options) {}

  void Add(const BatchableImage& image, absl::Time now);
  void Remove(ImageId id);

  // The images of the next step, all with one batch key; empty only when there are none at all.
  std::vector<ImageId> Plan(absl::Time now) const;

  // `ids`, a batch that Plan() chose or a part of it, has taken its step: their waits begin anew.
  void Stepped(absl::Span<const ImageId> ids, absl::Time now);

  // The rows of an image's next step, where they change from step to step.
  void SetRows(ImageId id, int rows);

  // A batch of these images did not fit into the device's memory.
  void OutOfMemory(absl::Span<const ImageId> ids, absl::Time now);

  int images() const { return static_cast<int>(images_.size()); }

 private:
  struct Image {
    ImageId id = 0;
    size_t key = 0;  // index into keys_
    int rows = 1;
    int64_t tokens_per_row = 1;
    ServiceClaim claim;

    int64_t tokens() const { return rows * tokens_per_row; }
  };
  struct Key {
    std::string name;
    uint64_t last_turn = 0;   // value of turns_ when it last took a step
    int64_t token_limit = 0;  // holds until limited_until
    absl::Time limited_until = absl::InfinitePast();
  };
  struct Ranked {
    const Image* image;
    ServiceRank rank;
  };

  size_t KeyIndex(absl::string_view name);
  Image& Find(ImageId id);
  int64_t TokenBudget(const Key& key, absl::Time now) const;
  // True if a key whose most urgent image is `a` steps before the key of `b`.
  bool KeyGoesFirst(const Ranked& a, const Ranked& b) const;

  const BatcherOptions options_;
  std::vector<Image> images_;
  std::vector<Key> keys_;
  uint64_t turns_ = 0;
};

}  // namespace ilf
