#include <memory>

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

}  // namespace
}  // namespace ilf
