#include "client/command/exit_code.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "google/rpc/error_details.pb.h"

namespace ilf {
namespace {

using ::testing::HasSubstr;

template <typename Detail>
void Attach(const Detail& detail, absl::Status& status) {
  status.SetPayload(absl::StrCat("type.googleapis.com/", Detail::descriptor()->full_name()),
                    absl::Cord(detail.SerializeAsString()));
}

TEST(ExitCodeTest, EachKindOfFailureHasItsOwn) {
  EXPECT_EQ(ExitCodeOf(absl::OkStatus()), 0);
  EXPECT_EQ(ExitCodeOf(absl::InvalidArgumentError("")), 3);
  EXPECT_EQ(ExitCodeOf(absl::NotFoundError("")), 3);
  EXPECT_EQ(ExitCodeOf(absl::UnavailableError("")), 4);
  EXPECT_EQ(ExitCodeOf(absl::DeadlineExceededError("")), 5);
  EXPECT_EQ(ExitCodeOf(absl::CancelledError("")), 6);
  EXPECT_EQ(ExitCodeOf(absl::FailedPreconditionError("")), 8);
  EXPECT_EQ(ExitCodeOf(absl::InternalError("")), 9);
  EXPECT_EQ(ExitCodeOf(absl::DataLossError("")), 9);
}

TEST(ExitCodeTest, AQueueIsFullOnlyWhereTheServerSaysWhenToComeBack) {
  absl::Status status = absl::ResourceExhaustedError("");
  EXPECT_EQ(ExitCodeOf(status), 9);
  Attach(google::rpc::RetryInfo(), status);
  EXPECT_EQ(ExitCodeOf(status), 7);
}

TEST(ExitCodeTest, HelpNamesEveryCode) {
  for (int code : {kExitOk, kExitUsage, kExitInvalidArgument, kExitUnavailable,
                   kExitDeadlineExceeded, kExitCancelled, kExitResourceExhausted,
                   kExitFailedPrecondition, kExitError, kExitCannotWrite}) {
    EXPECT_THAT(ExitCodeHelp(), HasSubstr(absl::StrCat(" ", code, "  ")));
  }
}

TEST(ErrorTextTest, NamesTheFieldsThatTheServerObjectsTo) {
  absl::Status status = absl::InvalidArgumentError("2 fields are invalid");
  google::rpc::BadRequest bad_request;
  for (const char* field : {"steps", "width"}) {
    auto* violation = bad_request.add_field_violations();
    violation->set_field(field);
    violation->set_description("too large");
  }
  Attach(bad_request, status);
  EXPECT_EQ(ErrorText(status, {}),
            "error: INVALID_ARGUMENT: 2 fields are invalid\n"
            "  steps: too large\n"
            "  width: too large\n");
}

TEST(ErrorTextTest, HintsAtTlsOnlyWhereAConnectionBroke) {
  const absl::Status broke = absl::UnavailableError("Socket closed");
  EXPECT_THAT(ErrorText(broke, {}), testing::HasSubstr("--tls_ca"));
  EXPECT_THAT(ErrorText(broke, {.client = {}, .tls = true}), testing::HasSubstr("--tls_cert"));
  for (const absl::Status& other :
       {absl::UnavailableError("Failed to connect to remote host: Connection refused"),
        absl::UnavailableError("the server is loading its models"),
        absl::InternalError("Socket closed")}) {
    EXPECT_EQ(ErrorText(other, {}), "error: " + absl::StatusCodeToString(other.code()) + ": " +
                                        std::string(other.message()) + "\n");
  }
}

TEST(ErrorTextTest, DoesNotRepeatWhatTheMessageSays) {
  absl::Status status = absl::InvalidArgumentError("steps: too large");
  google::rpc::BadRequest bad_request;
  auto* violation = bad_request.add_field_violations();
  violation->set_field("steps");
  violation->set_description("too large");
  Attach(bad_request, status);
  EXPECT_EQ(ErrorText(status, {}), "error: INVALID_ARGUMENT: steps: too large\n");
}

TEST(ErrorTextTest, SaysWhenToTryAgain) {
  absl::Status status = absl::ResourceExhaustedError("the queue is full");
  google::rpc::RetryInfo retry;
  retry.mutable_retry_delay()->set_seconds(2);
  retry.mutable_retry_delay()->set_nanos(500'000'000);
  Attach(retry, status);
  EXPECT_EQ(ErrorText(status, {}),
            "error: RESOURCE_EXHAUSTED: the queue is full\n  try again in 2.5s\n");
}

}  // namespace
}  // namespace ilf
