#include "engine/base/status_macros.h"

#include <memory>

#include "gtest/gtest.h"

namespace ilf {
namespace {

absl::Status PassOn(const absl::Status& status, bool& went_on) {
  ILF_RETURN_IF_ERROR(status);
  went_on = true;
  return absl::OkStatus();
}

absl::StatusOr<int> Unwrap(absl::StatusOr<std::unique_ptr<int>> boxed) {
  ILF_ASSIGN_OR_RETURN(const std::unique_ptr<int> value, std::move(boxed));
  return *value;
}

TEST(StatusMacrosTest, AnErrorReturnsAtOnce) {
  bool went_on = false;
  EXPECT_EQ(PassOn(absl::NotFoundError("file"), went_on), absl::NotFoundError("file"));
  EXPECT_FALSE(went_on);
}

TEST(StatusMacrosTest, OkGoesOn) {
  bool went_on = false;
  EXPECT_TRUE(PassOn(absl::OkStatus(), went_on).ok());
  EXPECT_TRUE(went_on);
}

TEST(StatusMacrosTest, AssignMovesTheValueOrReturnsTheError) {
  EXPECT_EQ(*Unwrap(std::make_unique<int>(3)), 3);
  EXPECT_EQ(Unwrap(absl::DataLossError("cut")).status(), absl::DataLossError("cut"));
}

}  // namespace
}  // namespace ilf
