#include "server/server.h"

#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "grpcpp/generic/generic_stub.h"
#include "gtest/gtest.h"
#include "server/listen_address.h"
#include "tests/server/server_fixture.h"
#include "tests/testing/http_get.h"

namespace ilf {
namespace {

using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;
using testing::HasSubstr;

constexpr char kServiceName[] = "ilf.v1.ImageGenerationService";

class ServerTest : public ServerFixture {
 protected:
  HealthCheckResponse::ServingStatus Health(const std::string& service) {
    return HealthFrom(*health_, service);
  }

  // What the port for health checks alone says.
  HealthCheckResponse::ServingStatus PortHealth(const std::string& service) {
    const auto channel =
        grpc::CreateChannel(server_->health_address(), grpc::InsecureChannelCredentials());
    return HealthFrom(*grpc::health::v1::Health::NewStub(channel), service);
  }

  static HealthCheckResponse::ServingStatus HealthFrom(grpc::health::v1::Health::Stub& stub,
                                                       const std::string& service) {
    grpc::ClientContext context;
    HealthCheckRequest request;
    request.set_service(service);
    HealthCheckResponse response;
    const grpc::Status status = stub.Check(&context, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response.status();
  }

  static ServerOptions WithHealthPort() {
    ServerOptions options = DefaultOptions();
    options.health_address = "127.0.0.1:0";
    return options;
  }

  static ServerOptions WithMetrics() {
    ServerOptions options = DefaultOptions();
    options.metrics_address = "127.0.0.1:0";
    return options;
  }

  std::string Metrics() { return HttpGet(server_->metrics_address(), "/metrics"); }
};

TEST_F(ServerTest, IsNotServingUntilItHasAnEngine) {
  Start();
  EXPECT_EQ(Health(""), HealthCheckResponse::NOT_SERVING);
  EXPECT_EQ(Health(kServiceName), HealthCheckResponse::NOT_SERVING);
  server_->Serve(&engine_);
  EXPECT_EQ(Health(""), HealthCheckResponse::SERVING);
  EXPECT_EQ(Health(kServiceName), HealthCheckResponse::SERVING);
}

TEST_F(ServerTest, IsAliveBeforeItIsReady) {
  Start(WithHealthPort());
  EXPECT_EQ(Health("liveness"), HealthCheckResponse::SERVING);
  EXPECT_EQ(Health("readiness"), HealthCheckResponse::NOT_SERVING);
  EXPECT_EQ(PortHealth("liveness"), HealthCheckResponse::SERVING);
  EXPECT_EQ(PortHealth("readiness"), HealthCheckResponse::NOT_SERVING);
  EXPECT_EQ(PortHealth(""), HealthCheckResponse::NOT_SERVING);
  server_->Serve(&engine_);
  EXPECT_EQ(Health("readiness"), HealthCheckResponse::SERVING);
  EXPECT_EQ(PortHealth("readiness"), HealthCheckResponse::SERVING);
  EXPECT_EQ(PortHealth(""), HealthCheckResponse::SERVING);
  EXPECT_EQ(PortHealth(kServiceName), HealthCheckResponse::SERVING);
}

TEST_F(ServerTest, TheHealthPortStaysAliveWhileTheServerDrainsAndAfter) {
  StartServing(WithHealthPort());
  grpc::ClientContext context;
  const Stream stream = stub_->Generate(&context, BagRequest());
  const auto submission = engine_.AwaitSubmission();
  std::thread drain([this] { server_->Drain(absl::InfiniteFuture()); });
  ASSERT_TRUE(engine_.AwaitDraining());
  EXPECT_EQ(PortHealth("liveness"), HealthCheckResponse::SERVING);
  EXPECT_EQ(PortHealth("readiness"), HealthCheckResponse::NOT_SERVING);
  EXPECT_EQ(PortHealth(""), HealthCheckResponse::NOT_SERVING);
  EXPECT_EQ(Health("liveness"), HealthCheckResponse::SERVING);
  engine_.End(submission, absl::OkStatus());
  ReadAll(stream);
  EXPECT_TRUE(stream->Finish().ok());
  drain.join();
  EXPECT_EQ(PortHealth("liveness"), HealthCheckResponse::SERVING);
  EXPECT_EQ(PortHealth("readiness"), HealthCheckResponse::NOT_SERVING);
}

TEST_F(ServerTest, TheHealthPortAnswersNothingElse) {
  StartServing(WithHealthPort());
  const auto stub = v1::ImageGenerationService::NewStub(
      grpc::CreateChannel(server_->health_address(), grpc::InsecureChannelCredentials()));
  grpc::ClientContext context;
  v1::ListModelsResponse response;
  EXPECT_EQ(stub->ListModels(&context, {}, &response).error_code(),
            grpc::StatusCode::UNIMPLEMENTED);
}

TEST_F(ServerTest, AHealthAddressInUseIsNamed) {
  Start();
  ServerOptions options = DefaultOptions();
  options.health_address = server_->address();
  const auto second = Server::Start(options, SystemClock());
  EXPECT_EQ(std::string(second.status().message()),
            "cannot listen on " + server_->address() + ": Address already in use");
}

TEST_F(ServerTest, FollowsTheHealthOfTheEngine) {
  StartServing(WithMetrics());
  grpc::ClientContext context;
  const auto watch = health_->Watch(&context, HealthCheckRequest());
  HealthCheckResponse response;
  ASSERT_TRUE(watch->Read(&response));
  EXPECT_EQ(response.status(), HealthCheckResponse::SERVING);
  engine_.SetHealthy(false);
  ASSERT_TRUE(watch->Read(&response));
  EXPECT_EQ(response.status(), HealthCheckResponse::NOT_SERVING);
  EXPECT_EQ(Health("readiness"), HealthCheckResponse::NOT_SERVING);
  EXPECT_EQ(Health("liveness"), HealthCheckResponse::SERVING);
  EXPECT_THAT(Metrics(), HasSubstr("ilf_serving 0"));
  engine_.SetHealthy(true);
  ASSERT_TRUE(watch->Read(&response));
  EXPECT_EQ(response.status(), HealthCheckResponse::SERVING);
  context.TryCancel();
}

TEST_F(ServerTest, PublishesMetrics) {
  ServerOptions options = WithMetrics();
  options.devices = {"cpu", "cuda:0"};
  options.max_batch_rows = 24;
  options.max_queued_images = 100;
  StartServing(options);
  v1::GenerateRequest bad = BagRequest();
  bad.set_steps(-1);
  StatusOf(bad);
  const std::string metrics = Metrics();
  EXPECT_THAT(metrics, HasSubstr("ilf_build_info{version="));
  EXPECT_THAT(metrics, HasSubstr("ilf_serving 1"));
  EXPECT_THAT(metrics, HasSubstr("ilf_worker_info{device=\"cpu\",worker=\"0\"} 1"));
  EXPECT_THAT(metrics, HasSubstr("ilf_worker_info{device=\"cuda:0\",worker=\"1\"} 1"));
  EXPECT_THAT(metrics, HasSubstr("ilf_max_batch_rows 24"));
  EXPECT_THAT(metrics, HasSubstr("ilf_max_queued_images 100"));
  EXPECT_THAT(metrics, HasSubstr("\nprocess_cpu_seconds_total "));
  EXPECT_THAT(metrics,
              HasSubstr("ilf_requests_total{model=\"dit\",outcome=\"INVALID_ARGUMENT\"} 1"));
}

TEST_F(ServerTest, DrainLetsRunningRequestsFinishAndRefusesNewOnes) {
  StartServing();
  grpc::ClientContext context;
  const Stream stream = stub_->Generate(&context, BagRequest());
  const auto submission = engine_.AwaitSubmission();
  std::thread drain([this] { server_->Drain(absl::InfiniteFuture()); });
  ASSERT_TRUE(engine_.AwaitDraining());
  EXPECT_EQ(Health(""), HealthCheckResponse::NOT_SERVING);
  EXPECT_EQ(StatusOf(BagRequest()).error_code(), grpc::StatusCode::UNAVAILABLE);

  submission.sink->OnEvent(CompletedEvent{});
  engine_.End(submission, absl::OkStatus());
  EXPECT_EQ(ReadAll(stream).size(), 1u);
  EXPECT_TRUE(stream->Finish().ok());
  drain.join();
}

TEST_F(ServerTest, AnOldConnectionTakesNoNewCallsAndKeepsThoseUnderWay) {
  ServerOptions options = DefaultOptions();
  options.max_connection_age = absl::Milliseconds(50);
  StartServing(options);
  grpc::ClientContext context;
  const Stream stream = stub_->Generate(&context, BagRequest());
  const auto submission = engine_.AwaitSubmission();
  // Without a limit the channel stays READY for as long as the stream runs.
  ASSERT_TRUE(channel_->WaitForStateChange(GRPC_CHANNEL_READY,
                                           absl::ToChronoTime(absl::Now() + absl::Minutes(1))));

  submission.sink->OnEvent(CompletedEvent{});
  engine_.End(submission, absl::OkStatus());
  EXPECT_EQ(ReadAll(stream).size(), 1u);
  EXPECT_TRUE(stream->Finish().ok());
  EXPECT_EQ(StatusOf({}).error_code(), grpc::StatusCode::INVALID_ARGUMENT);  // over another one
}

TEST_F(ServerTest, DrainEndsWhatIsLeftAtTheDeadline) {
  StartServing();
  grpc::ClientContext context;
  const Stream stream = stub_->Generate(&context, BagRequest());
  engine_.AwaitSubmission();
  server_->Drain(absl::Now());
  ReadAll(stream);
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
}

TEST_F(ServerTest, ReflectionListsTheService) {
  Start();
  // ServerReflectionRequest{list_services: "*"} on the wire; the answer is searched as it comes.
  grpc::GenericStub generic(channel_);
  grpc::ClientContext context;
  grpc::CompletionQueue queue;
  const auto call = generic.PrepareCall(
      &context, "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", &queue);
  const grpc::Slice wire("\x3a\x01*");
  grpc::ByteBuffer answer;
  const auto wait = [&queue] {
    void* tag = nullptr;
    bool ok = false;
    return queue.Next(&tag, &ok) && ok;
  };
  call->StartCall(nullptr);
  ASSERT_TRUE(wait());
  call->Write(grpc::ByteBuffer(&wire, 1), nullptr);
  ASSERT_TRUE(wait());
  call->Read(&answer, nullptr);
  ASSERT_TRUE(wait());
  context.TryCancel();

  std::vector<grpc::Slice> slices;
  ASSERT_TRUE(answer.Dump(&slices).ok());
  std::string text;
  for (const grpc::Slice& slice : slices) {
    text.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  }
  EXPECT_THAT(text, HasSubstr(kServiceName));
}

TEST_F(ServerTest, AnAddressInUseIsNamed) {
  Start();
  ServerOptions options = DefaultOptions();
  options.address = server_->address();
  const auto second = Server::Start(options, SystemClock());
  EXPECT_EQ(std::string(second.status().message()),
            "cannot listen on " + server_->address() + ": Address already in use");
}

TEST_F(ServerTest, AMetricsAddressInUseIsNamed) {
  Start(WithMetrics());
  ServerOptions options = DefaultOptions();
  options.metrics_address = server_->metrics_address();
  const auto second = Server::Start(options, SystemClock());
  EXPECT_EQ(std::string(second.status().message()),
            "cannot listen on " + server_->metrics_address() + ": Address already in use");
}

TEST(ListenAddressTest, WithPortKeepsTheHost) {
  EXPECT_EQ(WithPort("127.0.0.1:0", 80), "127.0.0.1:80");
  EXPECT_EQ(WithPort("[::1]:5", 80), "[::1]:80");
}

TEST(ListenAddressTest, AHostThatIsNotThisMachineIsAnError) {
  EXPECT_THAT(std::string(ListenError("192.0.2.1:1").message()),
              HasSubstr("cannot listen on 192.0.2.1:1: Cannot assign requested address"));
}

}  // namespace
}  // namespace ilf
