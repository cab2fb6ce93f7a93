#include "engine/runtime/guarded_call.h"

#include <stdexcept>

#include "absl/status/statusor.h"
#include "gtest/gtest.h"

namespace ilf {
namespace {

TEST(GuardedCallTest, PassesValuesAndErrorsOn) {
  EXPECT_EQ(*GuardedCall("f", [] { return absl::StatusOr<int>(3); }), 3);
  EXPECT_EQ(GuardedCall("f", [] { return absl::NotFoundError("x"); }), absl::NotFoundError("x"));
}

TEST(GuardedCallTest, AnExceptionBecomesInternalWithItsFirstLine) {
  const auto fails = []() -> absl::StatusOr<int> {
    throw std::runtime_error("device lost\nframe #0: ...");
  };
  EXPECT_EQ(GuardedCall("Run", fails).status(), absl::InternalError("Run failed: device lost"));
}

TEST(GuardedCallTest, WhatIsNoExceptionIsCaughtToo) {
  const auto fails = []() -> absl::Status { throw 7; };
  EXPECT_EQ(GuardedCall("Run", fails), absl::InternalError("Run failed: unknown exception"));
}

}  // namespace
}  // namespace ilf
