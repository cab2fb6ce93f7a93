#include "engine/base/check.h"

#include "gtest/gtest.h"

namespace ilf {
namespace {

TEST(CheckTest, TrueHasNoEffect) { Check(true, "holds"); }

TEST(CheckDeathTest, FalseEndsTheProcessAndSaysWhere) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(Check(false, "rows are even"), "check_test.cc:[0-9]+: check failed: rows are even");
}

}  // namespace
}  // namespace ilf
