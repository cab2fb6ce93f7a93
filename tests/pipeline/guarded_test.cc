#include "engine/pipeline/guarded.h"

#include <stdexcept>

#include <ATen/ops/empty.h>
#include <gtest/gtest.h>

namespace ilf {
namespace {

TEST(GuardedTest, PassesOnWhatTheCallReturns) {
  EXPECT_TRUE(Guarded([] { return absl::OkStatus(); }).ok());
  EXPECT_EQ(Guarded([] { return absl::NotFoundError("file"); }, "model"),
            absl::NotFoundError("file"));
}

TEST(GuardedTest, AnExceptionBecomesOneLine) {
  const auto call = []() -> absl::Status { throw std::runtime_error("device lost\nat frame 0"); };
  EXPECT_EQ(Guarded(call), absl::InternalError("device lost"));
  EXPECT_EQ(Guarded(call, "model"), absl::InternalError("model: device lost"));
}

TEST(GuardedTest, WantOfMemoryOnTheCpuIsToldApart) {
  const absl::Status status = Guarded([]() -> absl::Status {
    at::empty({int64_t{1} << 60}, at::kByte);
    return absl::OkStatus();
  });
  EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
}

}  // namespace
}  // namespace ilf
