#include "server/rpc_metrics.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "ilf/v1/image_generation.pb.h"
#include "prometheus/text_serializer.h"
#include "tests/testing/fake_clock.h"

namespace ilf {
namespace {

using testing::HasSubstr;

class RpcMetricsTest : public testing::Test {
 protected:
  std::string Scrape() { return prometheus::TextSerializer().Serialize(registry_.Collect()); }

  prometheus::Registry registry_;
  FakeClock clock_;
  RpcMetrics metrics_{&registry_, &clock_};
};

TEST_F(RpcMetricsTest, NamesAndLabelsAreThoseOfGoGrpcPrometheus) {
  const RpcMetrics::Method method = {"unary", "ilf.v1.S", "Get"};
  metrics_.Started(method);
  metrics_.Handled(method, grpc::StatusCode::NOT_FOUND, absl::Milliseconds(40));
  const std::string labels = "grpc_method=\"Get\",grpc_service=\"ilf.v1.S\",grpc_type=\"unary\"";
  EXPECT_THAT(Scrape(), HasSubstr("grpc_server_started_total{" + labels + "} 1\n"));
  EXPECT_THAT(Scrape(),
              HasSubstr("grpc_server_handled_total{grpc_code=\"NotFound\"," + labels + "} 1\n"));
  EXPECT_THAT(Scrape(),
              HasSubstr("grpc_server_handling_seconds_bucket{" + labels + ",le=\"0.025\"} 0\n"));
  EXPECT_THAT(Scrape(),
              HasSubstr("grpc_server_handling_seconds_bucket{" + labels + ",le=\"0.05\"} 1\n"));
}

TEST_F(RpcMetricsTest, AnAnnouncedServiceShowsEveryMethodAndCodeAtZero) {
  metrics_.Announce(*v1::GenerateRequest::descriptor()->file()->service(0));
  const std::string text = Scrape();
  for (const auto& [method, type] :
       {std::pair("Generate", "server_stream"), {"ListModels", "unary"}, {"GetModel", "unary"}}) {
    for (const char* code : {"OK", "Canceled", "ResourceExhausted", "Unauthenticated"}) {
      EXPECT_THAT(text, HasSubstr("grpc_server_handled_total{grpc_code=\"" + std::string(code) +
                                  "\",grpc_method=\"" + method +
                                  "\",grpc_service=\"ilf.v1.ImageGenerationService\",grpc_type=\"" +
                                  type + "\"} 0\n"));
    }
  }
}

TEST_F(RpcMetricsTest, ACodeThatGrpcDoesNotHaveIsUnknown) {
  metrics_.Handled({"unary", "s", "m"}, static_cast<grpc::StatusCode>(99), absl::ZeroDuration());
  EXPECT_THAT(Scrape(), HasSubstr("grpc_server_handled_total{grpc_code=\"Unknown\""));
}

}  // namespace
}  // namespace ilf
