#include "server/error_details.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/server/error_details_testing.h"

namespace ilf {
namespace {

TEST(ErrorDetailsTest, OkStaysOk) { EXPECT_TRUE(ToGrpcStatus(absl::OkStatus()).ok()); }

TEST(ErrorDetailsTest, CodeAndMessageAreKept) {
  const grpc::Status status = ToGrpcStatus(absl::DeadlineExceededError("too late"));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_EQ(status.error_message(), "too late");
  EXPECT_EQ(status.error_details(), "");
}

TEST(ErrorDetailsTest, ViolationsAreInDetailsAndMessage) {
  const grpc::Status status = ToGrpcStatus(InvalidFields({{"a", "bad"}, {"b.c", "worse"}}));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(status.error_message(), "a: bad; b.c: worse");
  EXPECT_THAT(ViolationsOf(status),
              testing::ElementsAre(testing::Pair("a", "bad"), testing::Pair("b.c", "worse")));
}

TEST(ErrorDetailsTest, SeveralDetailsTravelTogether) {
  const grpc::Status status = ToGrpcStatus(WithRetryDelay(
      ErrorWithInfo(absl::StatusCode::kResourceExhausted, "full", "QUEUE_FULL", {{"model", "m"}}),
      absl::Milliseconds(2500)));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(DetailOf<google::rpc::RetryInfo>(status)->retry_delay().seconds(), 2);
  EXPECT_EQ(DetailOf<google::rpc::RetryInfo>(status)->retry_delay().nanos(), 500'000'000);
  EXPECT_EQ(DetailOf<google::rpc::ErrorInfo>(status)->reason(), "QUEUE_FULL");
}

TEST(ErrorDetailsTest, PayloadsOfOthersStayInside) {
  absl::Status status = absl::InternalError("x");
  status.SetPayload("internal/trace", absl::Cord("secret"));
  EXPECT_EQ(ToGrpcStatus(status).error_details(), "");
}

TEST(QuotedTest, EscapesAndCuts) {
  EXPECT_EQ(Quoted("a\"b\n\x01"), "'a\\\"b\\n\\x01'");
  EXPECT_EQ(Quoted(std::string(65, 'x')), "'" + std::string(64, 'x') + "...'");
}

}  // namespace
}  // namespace ilf
