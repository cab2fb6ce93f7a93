#include <memory>

#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include "engine/pipeline/prompt_reader.h"

namespace ilf {
namespace {

// A context of `floats` numbers.
PromptRows::Context Context(int64_t floats) {
  auto context = std::make_shared<PromptContext>();
  context->tokens = at::zeros({1, floats, 1});
  return context;
}

TEST(PromptCacheTest, KeepsWhatWasUsedLastUpToItsBytes) {
  PromptCache cache(/*max_bytes=*/100);
  cache.Insert({1}, Context(10));  // 40 bytes each
  cache.Insert({2}, Context(10));
  EXPECT_EQ(cache.bytes(), 80);
  EXPECT_NE(cache.Find({1}), nullptr);
  cache.Insert({3}, Context(10));
  EXPECT_EQ(cache.bytes(), 80);
  EXPECT_NE(cache.Find({1}), nullptr);
  EXPECT_EQ(cache.Find({2}), nullptr);
  EXPECT_NE(cache.Find({3}), nullptr);
}

TEST(PromptCacheTest, DoesNotKeepWhatIsLargerThanItself) {
  PromptCache cache(/*max_bytes=*/100);
  cache.Insert({1}, Context(10));
  cache.Insert({2}, Context(26));
  EXPECT_EQ(cache.Find({2}), nullptr);
  EXPECT_NE(cache.Find({1}), nullptr);
  PromptCache none(/*max_bytes=*/0);
  none.Insert({1}, Context(1));
  EXPECT_EQ(none.Find({1}), nullptr);
}

TEST(PromptCacheTest, TheSamePromptIsKeptOnce) {
  PromptCache cache(/*max_bytes=*/100);
  const PromptRows::Context first = Context(10);
  cache.Insert({1, 2}, first);
  cache.Insert({1, 2}, Context(10));
  EXPECT_EQ(cache.bytes(), 40);
  EXPECT_EQ(cache.Find({1, 2}), first);
}

TEST(PromptContextTest, OwnsNoMoreThanItCountsAndSharesWhatIsWhole) {
  const at::Tensor tile = at::arange(64, at::kFloat).view({1, 32, 2});
  const at::Tensor whole = at::zeros({1, 1, 3, 2});
  PromptContext context;
  context.tokens = tile.narrow(1, 0, 3);
  context.keys_values.push_back({whole, tile.narrow(1, 4, 3).unsqueeze(1)});
  context.OwnItsBytes();
  const KeyValue& kv = context.keys_values[0];
  EXPECT_EQ(context.bytes(), 3 * 6 * 4);
  EXPECT_EQ(context.tokens.storage().nbytes(), 6u * 4);
  EXPECT_EQ(kv.value.storage().nbytes(), 6u * 4);
  EXPECT_TRUE(at::equal(context.tokens, tile.narrow(1, 0, 3)));
  EXPECT_TRUE(at::equal(kv.value[0], tile.narrow(1, 4, 3)));
  EXPECT_EQ(kv.key.data_ptr(), whole.data_ptr());
}

}  // namespace
}  // namespace ilf
