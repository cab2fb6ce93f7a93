// The metrics of RPCs of a real server, over its metrics port.
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "grpcpp/generic/generic_stub.h"
#include "gtest/gtest.h"
#include "tests/server/server_fixture.h"
#include "tests/testing/http_get.h"

namespace ilf {
namespace {

using testing::HasSubstr;

class RpcMetricsServerTest : public ServerFixture {
 protected:
  RpcMetricsServerTest() {
    ServerOptions options = DefaultOptions();
    options.metrics_address = "127.0.0.1:0";
    StartServing(options);
  }

  std::string Metrics() { return HttpGet(server_->metrics_address(), "/metrics"); }

  static std::string Handled(const char* code, const char* method, const char* type, int count) {
    return absl::StrCat("grpc_server_handled_total{grpc_code=\"", code, "\",grpc_method=\"", method,
                        "\",grpc_service=\"ilf.v1.ImageGenerationService\",grpc_type=\"", type,
                        "\"} ", count, "\n");
  }

  // Whether the metrics say so, at the latest in a minute.
  testing::AssertionResult Shows(const std::string& line) {
    const absl::Time deadline = absl::Now() + absl::Minutes(1);
    std::string text;
    while (absl::Now() < deadline) {
      text = Metrics();
      if (text.find(line) != std::string::npos) return testing::AssertionSuccess();
    }
    return testing::AssertionFailure() << "no " << line << " in\n" << text;
  }
};

TEST_F(RpcMetricsServerTest, CountsCallsByMethodAndCode) {
  grpc::ClientContext listing, asking;
  v1::ListModelsResponse models;
  ASSERT_TRUE(stub_->ListModels(&listing, {}, &models).ok());
  v1::GetModelRequest unknown;
  unknown.set_name("nothing");
  v1::GetModelResponse model;
  EXPECT_FALSE(stub_->GetModel(&asking, unknown, &model).ok());
  v1::GenerateRequest bad = BagRequest();
  bad.set_steps(-1);
  StatusOf(bad);

  const std::string text = Metrics();
  EXPECT_THAT(text, HasSubstr(Handled("OK", "ListModels", "unary", 1)));
  EXPECT_THAT(text, HasSubstr(Handled("NotFound", "GetModel", "unary", 1)));
  EXPECT_THAT(text, HasSubstr(Handled("InvalidArgument", "Generate", "server_stream", 1)));
  EXPECT_THAT(text, HasSubstr("grpc_server_handling_seconds_count{grpc_method=\"ListModels\","
                              "grpc_service=\"ilf.v1.ImageGenerationService\",grpc_type=\"unary\"} "
                              "1\n"));
}

TEST_F(RpcMetricsServerTest, AStreamIsHandledWhenItEnds) {
  grpc::ClientContext context;
  const Stream stream = stub_->Generate(&context, BagRequest());
  const auto submission = engine_.AwaitSubmission();
  EXPECT_THAT(Metrics(),
              HasSubstr("grpc_server_started_total{grpc_method=\"Generate\",grpc_service=\"ilf.v1."
                        "ImageGenerationService\",grpc_type=\"server_stream\"} 1\n"));
  EXPECT_THAT(Metrics(), HasSubstr(Handled("OK", "Generate", "server_stream", 0)));
  engine_.End(submission, absl::OkStatus());
  ReadAll(stream);
  ASSERT_TRUE(stream->Finish().ok());
  EXPECT_THAT(Metrics(), HasSubstr(Handled("OK", "Generate", "server_stream", 1)));
}

TEST_F(RpcMetricsServerTest, ACallThatItsClientGivesUpIsCanceled) {
  grpc::ClientContext context;
  const Stream stream = stub_->Generate(&context, BagRequest());
  engine_.AwaitSubmission();
  context.TryCancel();
  ReadAll(stream);
  EXPECT_TRUE(Shows(Handled("Canceled", "Generate", "server_stream", 1)));
}

TEST_F(RpcMetricsServerTest, NamesThatClientsMakeUpBecomeNoLabels) {
  grpc::GenericStub generic(channel_);
  for (const char* method : {"/ilf.v1.ImageGenerationService/MadeUp", "/made.up/Name", "/made"}) {
    grpc::ClientContext context;
    grpc::CompletionQueue queue;
    const auto call = generic.PrepareUnaryCall(&context, method, grpc::ByteBuffer(), &queue);
    call->StartCall();
    grpc::ByteBuffer answer;
    grpc::Status status;
    call->Finish(&answer, &status, nullptr);
    void* tag = nullptr;
    bool ok = false;
    ASSERT_TRUE(queue.Next(&tag, &ok));
    EXPECT_EQ(status.error_code(), grpc::StatusCode::UNIMPLEMENTED);
  }
  // Not the whole text, which fails with all of it.
  EXPECT_EQ(Metrics().find("MadeUp"), std::string::npos);
  EXPECT_EQ(Metrics().find("made"), std::string::npos);
  EXPECT_THAT(Metrics(), HasSubstr("grpc_server_handled_total{grpc_code=\"Unimplemented\",grpc_"
                                   "method=\"unknown\",grpc_service=\"unknown\",grpc_type="
                                   "\"unknown\"} 3\n"));
}

}  // namespace
}  // namespace ilf
