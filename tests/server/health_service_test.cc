#include "server/health_service.h"

#include <memory>
#include <string>

#include "gtest/gtest.h"

namespace ilf {
namespace {

using grpc::health::v1::Health;
using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;

HealthCheckRequest For(const std::string& service) {
  HealthCheckRequest request;
  request.set_service(service);
  return request;
}

class HealthServiceTest : public testing::Test {
 protected:
  HealthServiceTest() {
    grpc::ServerBuilder builder;
    builder.RegisterService(&health_);
    server_ = builder.BuildAndStart();
    stub_ = Health::NewStub(server_->InProcessChannel(grpc::ChannelArguments()));
  }
  ~HealthServiceTest() override { server_->Shutdown(std::chrono::system_clock::now()); }

  HealthCheckResponse::ServingStatus Status(const std::string& service) {
    grpc::ClientContext context;
    HealthCheckResponse response;
    EXPECT_TRUE(stub_->Check(&context, For(service), &response).ok());
    return response.status();
  }

  HealthService health_{{"", "paint"}};
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<Health::Stub> stub_;
};

TEST_F(HealthServiceTest, DoesNotServeUntilItIsToldSo) {
  for (const char* service : {"", "paint"}) {
    EXPECT_EQ(Status(service), HealthCheckResponse::NOT_SERVING);
  }
  health_.SetServing({"", "paint"}, true);
  for (const char* service : {"", "paint"}) {
    EXPECT_EQ(Status(service), HealthCheckResponse::SERVING);
  }
}

TEST_F(HealthServiceTest, EveryServiceHasItsOwnStatus) {
  health_.SetServing({"paint"}, true);
  EXPECT_EQ(Status("paint"), HealthCheckResponse::SERVING);
  EXPECT_EQ(Status(""), HealthCheckResponse::NOT_SERVING);
}

TEST_F(HealthServiceTest, AWatchIsNotWokenByAnotherService) {
  grpc::ClientContext context;
  const auto watch = stub_->Watch(&context, For("paint"));
  HealthCheckResponse response;
  ASSERT_TRUE(watch->Read(&response));
  health_.SetServing({""}, true);
  health_.SetServing({"paint"}, true);
  ASSERT_TRUE(watch->Read(&response));
  EXPECT_EQ(response.status(), HealthCheckResponse::SERVING);
  context.TryCancel();
}

TEST_F(HealthServiceTest, AWatchBeginsWithTheStatusAndFollowsIt) {
  grpc::ClientContext context;
  const auto watch = stub_->Watch(&context, For("paint"));
  HealthCheckResponse response;
  for (const bool serving : {false, true, false}) {
    health_.SetServing({"paint"}, serving);
    health_.SetServing({"paint"}, serving);  // no news
    ASSERT_TRUE(watch->Read(&response));
    EXPECT_EQ(response.status(),
              serving ? HealthCheckResponse::SERVING : HealthCheckResponse::NOT_SERVING);
  }
  context.TryCancel();
  EXPECT_FALSE(watch->Read(&response));
  EXPECT_EQ(watch->Finish().error_code(), grpc::StatusCode::CANCELLED);
}

TEST_F(HealthServiceTest, KnowsNoOtherService) {
  grpc::ClientContext check, watched;
  HealthCheckResponse response;
  EXPECT_EQ(stub_->Check(&check, For("sculpt"), &response).error_code(),
            grpc::StatusCode::NOT_FOUND);
  const auto watch = stub_->Watch(&watched, For("sculpt"));
  ASSERT_TRUE(watch->Read(&response));
  EXPECT_EQ(response.status(), HealthCheckResponse::SERVICE_UNKNOWN);
  watched.TryCancel();
}

}  // namespace
}  // namespace ilf
