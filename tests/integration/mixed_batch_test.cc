// Requests with and without feedback that take their steps together.
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/integration/requests.h"
#include "tests/integration/server_process.h"
#include "tests/integration/serving_test.h"

namespace ilf {
namespace {

using std::chrono::system_clock;

// A picture of class `label`; its seed is a function of the class.
v1::GenerateRequest Picture(int label, int steps, double guidance_scale,
                            v1::Acceleration acceleration) {
  v1::GenerateRequest request = BagRequest(steps, guidance_scale, acceleration);
  request.mutable_class_label()->set_index(label);
  request.set_seed(100 + label);
  return request;
}

v1::GenerateRequest Urgent(v1::GenerateRequest request) {
  request.set_priority(v1::PRIORITY_HIGH);
  return request;
}

v1::GenerateRequest Named(v1::GenerateRequest request, const std::string& request_id) {
  request.set_request_id(request_id);
  return request;
}

class MixedBatchTest : public ServingTest {
 protected:
  void ExpectAsAlone(const Outcome& outcome, const v1::GenerateRequest& request) {
    ASSERT_TRUE(outcome.status.ok()) << outcome.status.error_message();
    const Outcome alone = Generate(client_, request);
    ASSERT_TRUE(alone.status.ok()) << alone.status.error_message();
    EXPECT_EQ(ImagesByIndex(outcome), ImagesByIndex(alone)) << request.ShortDebugString();
    const auto previews = PreviewsByStep(alone);
    for (const auto& [key, preview] : PreviewsByStep(outcome)) {
      const auto same = previews.find(key);
      if (same == previews.end()) continue;
      EXPECT_EQ(preview, same->second) << request.ShortDebugString();
    }
  }

  // A feedback request that ends with `end`, amid others.
  void ExpectNoHarmFromTheEnd(grpc::StatusCode end, const std::string& outcome_label);
};

TEST_F(MixedBatchTest, EveryClientGetsThePicturesThatItWouldGetAlone) {
  std::vector<v1::GenerateRequest> requests = {
      Picture(0, 5, 2.0, v1::ACCELERATION_FEEDBACK), Picture(1, 7, 1.0, v1::ACCELERATION_OFF),
      Picture(2, 4, 2.5, v1::ACCELERATION_FEEDBACK), Picture(3, 5, 2.0, v1::ACCELERATION_OFF),
      Picture(4, 4, 1.0, v1::ACCELERATION_FEEDBACK), Picture(5, 12, 2.5, v1::ACCELERATION_AUTO),
      Picture(6, 5, 1.0, v1::ACCELERATION_AUTO),     Picture(7, 4, 4.0, v1::ACCELERATION_AUTO),
      Picture(8, 5, 2.5, v1::ACCELERATION_FEEDBACK), Picture(9, 6, 1.0, v1::ACCELERATION_AUTO),
  };
  requests[2].set_image_count(2);
  requests[4].mutable_preview();
  requests[8].set_image_count(2);
  requests[8].mutable_preview();
  requests[9].set_solver(v1::SOLVER_DDIM);

  Start({"--max_active_images=16", "--max_batch_rows=12"});
  const std::vector<Outcome> together = GenerateTogether(*server_, requests);
  for (size_t i = 0; i < requests.size(); ++i) ExpectAsAlone(together[i], requests[i]);
}

void MixedBatchTest::ExpectNoHarmFromTheEnd(grpc::StatusCode end,
                                            const std::string& outcome_label) {
  v1::GenerateRequest long_request = Urgent(Named(EndlessRequest(), "long"));
  long_request.set_image_count(2);
  v1::GenerateRequest victim_request =
      Named(BagRequest(5, 2.0, v1::ACCELERATION_FEEDBACK), "victim");
  victim_request.set_image_count(16);
  const std::vector<v1::GenerateRequest> requests = {
      Urgent(Picture(1, 5, 1.0, v1::ACCELERATION_FEEDBACK)),
      Urgent(Picture(2, 60, 2.0, v1::ACCELERATION_OFF)),
      Urgent(Picture(3, 4, 2.5, v1::ACCELERATION_FEEDBACK))};
  v1::GenerateRequest greedy_request = Urgent(Named(EndlessRequest(), "greedy"));
  greedy_request.set_guidance_scale(1);

  // A step has room for the long request, `requests` and one image of the victim, 4 + 5 + 2 rows.
  Start({"--max_batch_rows=12", "--max_active_images=33"});
  Call long_call(*server_, long_request);
  ASSERT_TRUE(ReadUntil(long_call.stream, v1::GenerateResponse::kStep));
  std::optional<system_clock::duration> timeout;
  if (end == grpc::StatusCode::DEADLINE_EXCEEDED) timeout = std::chrono::seconds(2);
  Call victim(*server_, victim_request, timeout);
  ASSERT_TRUE(ReadUntil(victim.stream, v1::GenerateResponse::kStep));
  std::vector<std::unique_ptr<Call>> calls;
  for (const v1::GenerateRequest& request : requests) {
    calls.push_back(std::make_unique<Call>(*server_, request));
  }
  for (const auto& call : calls) {
    ASSERT_TRUE(ReadUntil(call->stream, v1::GenerateResponse::kStep));
  }
  // Its deadline, though far away, puts the greedy request before all of them. It fills the steps,
  // so that nothing else ends; and four of its images wait for places of the victim.
  Call greedy(*server_, greedy_request, std::chrono::hours(1));
  ASSERT_TRUE(ReadUntil(greedy.stream, v1::GenerateResponse::kStep));

  if (end == grpc::StatusCode::CANCELLED) victim.context.TryCancel();
  EXPECT_EQ(ReadToEnd(victim.stream).status.error_code(), end);
  ASSERT_TRUE(server_->process().AwaitLine("request_id='victim'"));
  Call next(*server_, requests[0], std::chrono::minutes(30));
  EXPECT_TRUE(ReadToEnd(next.stream).status.ok());
  const std::string metrics = server_->Metrics();
  EXPECT_EQ(MetricValue(metrics, "ilf_requests_total{model=\"fashion-dit\",outcome=\"" +
                                     outcome_label + "\"}"),
            1);
  EXPECT_EQ(MetricValue(metrics, "ilf_queued_images"), 0) << "the victim keeps its places";

  long_call.context.TryCancel();
  greedy.context.TryCancel();
  for (size_t i = 0; i < requests.size(); ++i) {
    ExpectAsAlone(ReadToEnd(calls[i]->stream), requests[i]);
  }
  ASSERT_TRUE(server_->process().AwaitLine("request_id='long'"));
  ASSERT_TRUE(server_->process().AwaitLine("request_id='greedy'"));
  EXPECT_TRUE(Generate(client_, requests[0]).status.ok());
  EXPECT_EQ(MetricValue(server_->Metrics(), "ilf_active_images{worker=\"0\"}"), 0);
}

TEST_F(MixedBatchTest, AFeedbackRequestThatIsCancelledHarmsNobodyAndFreesItsPlaces) {
  ExpectNoHarmFromTheEnd(grpc::StatusCode::CANCELLED, "CANCELLED");
}

TEST_F(MixedBatchTest, AFeedbackRequestPastItsDeadlineHarmsNobodyAndFreesItsPlaces) {
  ExpectNoHarmFromTheEnd(grpc::StatusCode::DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED");
}

}  // namespace
}  // namespace ilf
