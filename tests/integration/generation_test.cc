// Pictures over TCP from the real server on the shipped model.
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "gmock/gmock.h"
#include "google/rpc/error_details.pb.h"
#include "gtest/gtest.h"
#include "tests/integration/requests.h"
#include "tests/integration/server_process.h"
#include "tests/integration/serving_test.h"
#include "tests/server/error_details_testing.h"

namespace ilf {
namespace {

using testing::HasSubstr;

constexpr char kPngSignature[] = "\x89PNG\r\n\x1a\n";

// The width and height that the header of a PNG states.
std::pair<int, int> PngSize(const std::string& png) {
  const auto number = [&](size_t at) {
    int value = 0;
    for (size_t i = at; i < at + 4; ++i) value = value * 256 + static_cast<unsigned char>(png[i]);
    return value;
  };
  return {number(16), number(20)};
}

class GenerationTest : public ServingTest {};

void ExpectOnlySize(const v1::Model& model, int side) {
  ASSERT_EQ(model.sizes_size(), 1);
  for (const v1::ImageSize& size : {model.sizes(0), model.default_size()}) {
    EXPECT_EQ(size.width(), side);
    EXPECT_EQ(size.height(), side);
  }
  EXPECT_FALSE(model.has_size_range());
}

// Of 4 steps and up, all but the first with feedback, which runs three blocks once more and the
// module's own; measured with the guidance that a request gets by default.
void ExpectShippedPlans(const v1::Model& model, int plans) {
  ASSERT_EQ(model.feedback_plans_size(), plans);
  for (int i = 0; i < plans; ++i) {
    const v1::FeedbackPlan& plan = model.feedback_plans(i);
    const int steps = 4 + i;
    EXPECT_EQ(plan.steps(), steps);
    EXPECT_EQ(plan.solver(), v1::SOLVER_DPM_SOLVER_PP_2M);
    EXPECT_EQ(plan.feedback_steps(), steps - 1);
    EXPECT_EQ(plan.block_evaluations(), steps * 28 + (steps - 1) * 4);
    EXPECT_GT(plan.equivalent_steps(), steps);
    EXPECT_EQ(plan.min_guidance_scale(), 1.0);
    EXPECT_GE(plan.max_guidance_scale(), model.default_guidance_scale());
  }
}

TEST_F(GenerationTest, ListsTheShippedModels) {
  Start();
  const v1::Model fashion = ModelNamed(client_, "fashion-dit");
  EXPECT_EQ(fashion.architecture(), "DiT");
  EXPECT_EQ(fashion.class_labels_size(), 10);
  EXPECT_EQ(fashion.block_count(), 28);
  EXPECT_TRUE(fashion.accepts_class_label());
  EXPECT_FALSE(fashion.accepts_text_prompt());
  EXPECT_EQ(fashion.max_prompt_tokens(), 0);
  ExpectOnlySize(fashion, 32);
  EXPECT_EQ(fashion.default_steps(), 20);
  EXPECT_EQ(fashion.default_guidance_scale(), 2.0);
  EXPECT_EQ(fashion.default_solver(), v1::SOLVER_DPM_SOLVER_PP_2M);
  ExpectShippedPlans(fashion, 4);
  const v1::Model emoji = ModelNamed(client_, "emoji-pixart");
  EXPECT_EQ(emoji.architecture(), "PixArt-Sigma");
  EXPECT_EQ(emoji.class_labels_size(), 0);
  EXPECT_EQ(emoji.block_count(), 28);
  EXPECT_FALSE(emoji.accepts_class_label());
  EXPECT_TRUE(emoji.accepts_text_prompt());
  EXPECT_EQ(emoji.max_prompt_tokens(), 300);
  ExpectOnlySize(emoji, 64);
  EXPECT_EQ(emoji.default_steps(), 20);
  EXPECT_EQ(emoji.default_guidance_scale(), 3.0);
  EXPECT_EQ(emoji.default_solver(), v1::SOLVER_DPM_SOLVER_PP_2M);
  ExpectShippedPlans(emoji, 3);
}

TEST_F(GenerationTest, StreamsEveryEventOfARequestInOrder) {
  Start();
  v1::GenerateRequest request = BagRequest(5);
  request.set_acceleration(v1::ACCELERATION_OFF);
  request.set_image_count(2);
  request.mutable_preview()->set_every_n_steps(2);
  const Outcome outcome = Generate(client_, request);
  ASSERT_TRUE(outcome.status.ok()) << outcome.status.error_message();
  ASSERT_GE(outcome.events.size(), 4u);
  EXPECT_TRUE(outcome.events[0].has_queued());
  EXPECT_FALSE(outcome.events[0].queued().request_id().empty());
  EXPECT_TRUE(outcome.events[1].has_started());
  EXPECT_TRUE(outcome.events.back().has_completed());
  EXPECT_EQ(outcome.events.back().completed().image_count(), 2);

  std::map<int, int> last_step;
  for (const v1::GenerateResponse& event : outcome.events) {
    if (event.has_step()) {
      EXPECT_GT(event.step().step(), last_step[event.step().image_index()]);
      last_step[event.step().image_index()] = event.step().step();
    }
    if (event.has_preview()) {
      EXPECT_EQ(event.preview().step() % 2, 0);
      EXPECT_TRUE(absl::StartsWith(event.preview().data(), kPngSignature));
    }
    if (!event.has_image()) continue;
    EXPECT_EQ(event.image().seed(), 1234u + event.image().image_index());
    EXPECT_EQ(event.image().steps(), 5);
    // Guidance is on by default: two rows an image.
    EXPECT_EQ(event.image().plain_block_evaluations(), 5 * 28 * 2);
  }
  ASSERT_EQ(outcome.images.size(), 2u);
  EXPECT_NE(outcome.images[0], outcome.images[1]);
  for (const std::string& png : outcome.images) {
    EXPECT_TRUE(absl::StartsWith(png, kPngSignature));
  }
}

TEST_F(GenerationTest, ThePictureHasTheSizeOfTheModel) {
  Start();
  for (const v1::GenerateRequest& request : {BagRequest(2), PromptRequest("red heart", 2)}) {
    const v1::ImageSize size = ModelNamed(client_, request.model()).default_size();
    const Outcome outcome = Generate(client_, request);
    ASSERT_EQ(outcome.images.size(), 1u);
    EXPECT_EQ(PngSize(outcome.images[0]), std::make_pair(size.width(), size.height()));
  }
}

TEST_F(GenerationTest, ASeedThatTheServerPickedMakesTheSamePictureAgain) {
  Start();
  v1::GenerateRequest request = BagRequest();
  request.clear_seed();
  const Outcome first = Generate(client_, request);
  ASSERT_TRUE(first.status.ok()) << first.status.error_message();
  for (const v1::GenerateResponse& event : first.events) {
    if (event.has_image()) request.set_seed(event.image().seed());
  }
  EXPECT_EQ(Generate(client_, request).images, first.images);
}

TEST_F(GenerationTest, ConcurrentClientsGetThePicturesThatTheyWouldGetAlone) {
  Start({"--max_batch_rows=12"});
  const auto request_of = [](int i) {
    v1::GenerateRequest request = BagRequest(3 + i);
    request.mutable_class_label()->set_index(i);
    request.set_guidance_scale(i % 3 == 0 ? 1.0 : 1.0 + i);
    request.set_seed(i);
    return request;
  };
  constexpr int kClients = 8;
  std::vector<Outcome> together(kClients);
  std::vector<std::thread> threads;
  for (int i = 0; i < kClients; ++i) {
    threads.emplace_back([&, i] { together[i] = Generate(server_->Client(), request_of(i)); });
  }
  for (std::thread& thread : threads) thread.join();
  for (int i = 0; i < kClients; ++i) {
    ASSERT_TRUE(together[i].status.ok()) << together[i].status.error_message();
    EXPECT_EQ(together[i].images, Generate(client_, request_of(i)).images) << i;
  }
}

TEST_F(GenerationTest, TwoWorkersShareTheLoad) {
  Start({"--device=cpu,cpu", "--threads_per_worker=1", "--max_active_images=1"});
  v1::GenerateRequest request = BagRequest();
  request.set_image_count(8);
  const Outcome outcome = Generate(client_, request);
  ASSERT_TRUE(outcome.status.ok()) << outcome.status.error_message();
  EXPECT_EQ(outcome.images.size(), 8u);
  const std::string metrics = server_->Metrics();
  for (const char* worker : {"0", "1"}) {
    EXPECT_GT(MetricValue(metrics, std::string("ilf_step_seconds_count{model=\"fashion-dit\","
                                               "worker=\"") +
                                       worker + "\"}"),
              0);
  }
}

TEST_F(GenerationTest, CancellationFreesTheSlot) {
  Start({"--max_active_images=1"});
  grpc::ClientContext context;
  const GenerateStream endless = client_.images->Generate(&context, EndlessRequest());
  ASSERT_TRUE(ReadUntil(endless, v1::GenerateResponse::kStep));

  const TestClient other = server_->Client();
  grpc::ClientContext other_context;
  const GenerateStream waiting = other.images->Generate(&other_context, BagRequest());
  ASSERT_TRUE(ReadUntil(waiting, v1::GenerateResponse::kQueued));
  context.TryCancel();
  EXPECT_EQ(ReadToEnd(endless).status.error_code(), grpc::StatusCode::CANCELLED);
  EXPECT_TRUE(ReadToEnd(waiting).status.ok());
  EXPECT_EQ(MetricValue(server_->Metrics(),
                        "ilf_requests_total{model=\"fashion-dit\",outcome=\"CANCELLED\"}"),
            1);
}

TEST_F(GenerationTest, AClientThatVanishesFreesTheSlot) {
  Start({"--max_active_images=1"});
  ChildProcess vanishing({ILF_BINARY_DIR "/bin/ilf-client", "generate",
                          "--address=" + server_->address(), "--model=fashion-dit", "--label=Bag",
                          "--steps=900", "--count=16", "--json", "--out", testing::TempDir()});
  ASSERT_TRUE(vanishing.AwaitLine("\"step\"")) << testing::PrintToString(vanishing.Lines());
  vanishing.Signal(SIGKILL);
  EXPECT_TRUE(Generate(client_, BagRequest()).status.ok());
}

TEST_F(GenerationTest, AFullQueueRefusesWithARetryDelay) {
  Start({"--max_active_images=1", "--max_queued_images=16"});
  grpc::ClientContext context;
  const GenerateStream endless = client_.images->Generate(&context, EndlessRequest());
  ASSERT_TRUE(ReadUntil(endless, v1::GenerateResponse::kStep));
  v1::GenerateRequest two = BagRequest();
  two.set_image_count(2);
  const Outcome refused = Generate(client_, two);
  EXPECT_EQ(refused.status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  const auto delay = DetailOf<google::rpc::RetryInfo>(refused.status).value().retry_delay();
  EXPECT_GT(delay.seconds() + delay.nanos() * 1e-9, 0);
  context.TryCancel();
}

TEST_F(GenerationTest, ADeadlineThatCannotBeMetEndsTheRequest) {
  Start();
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(2));
  EXPECT_EQ(ReadToEnd(client_.images->Generate(&context, EndlessRequest())).status.error_code(),
            grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_TRUE(Generate(client_, BagRequest()).status.ok());
  EXPECT_EQ(MetricValue(server_->Metrics(),
                        "ilf_requests_total{model=\"fashion-dit\",outcome=\"DEADLINE_EXCEEDED\"}"),
            1);
}

TEST_F(GenerationTest, ASlowReaderMissesPreviewsButNoImageAndHoldsNobodyUp) {
  Start();
  v1::GenerateRequest slow_request = BagRequest(150);
  slow_request.mutable_preview()->set_max_side(512);
  grpc::ClientContext context;
  const GenerateStream slow = client_.images->Generate(&context, slow_request);
  ASSERT_TRUE(ReadUntil(slow, v1::GenerateResponse::kStep));

  // Takes its steps together with the slow one, and more of them.
  const TestClient other = server_->Client();
  const Outcome fast = Generate(other, BagRequest(200));
  EXPECT_TRUE(fast.status.ok()) << fast.status.error_message();

  const Outcome outcome = ReadToEnd(slow);
  ASSERT_TRUE(outcome.status.ok()) << outcome.status.error_message();
  EXPECT_EQ(outcome.images.size(), 1u);
  EXPECT_TRUE(outcome.events.back().has_completed());
  int previews = 0;
  int last_step = 0;
  for (const v1::GenerateResponse& event : outcome.events) {
    if (!event.has_preview()) continue;
    ++previews;
    EXPECT_GT(event.preview().step(), last_step);
    last_step = event.preview().step();
  }
  EXPECT_LT(previews, 149);
  EXPECT_GT(MetricValue(server_->Metrics(), "ilf_previews_dropped_total{model=\"fashion-dit\"}"),
            0);
}

TEST_F(GenerationTest, AReaderThatNeverReadsIsCutOff) {
  Start({"--write_stall_timeout=1s"});
  v1::GenerateRequest request = EndlessRequest();
  request.mutable_preview()->set_max_side(512);
  grpc::ClientContext context;
  const GenerateStream stream = client_.images->Generate(&context, request);
  ASSERT_TRUE(server_->process().AwaitLine("clients do not read"));
  EXPECT_EQ(ReadToEnd(stream).status.error_code(), grpc::StatusCode::CANCELLED);
  EXPECT_EQ(MetricValue(server_->Metrics(), "ilf_streams_stalled_total{model=\"fashion-dit\"}"), 1);
}

struct BadField {
  std::string field;
  void (*spoil)(v1::GenerateRequest*);
};

TEST_F(GenerationTest, ABadRequestNamesItsField) {
  Start();
  using R = v1::GenerateRequest;
  const std::vector<BadField> bad_fields = {
      {"condition", [](R* r) { r->clear_condition(); }},
      {"class_label", [](R* r) { r->mutable_class_label()->Clear(); }},
      {"class_label.name", [](R* r) { r->mutable_class_label()->set_name("Teapot"); }},
      {"class_label.index", [](R* r) { r->mutable_class_label()->set_index(10); }},
      {"text_prompt.prompt", [](R* r) { r->mutable_text_prompt(); }},
      {"text_prompt.negative_prompt",
       [](R* r) {
         r->mutable_text_prompt()->set_prompt("a bag");
         r->mutable_text_prompt()->set_negative_prompt(std::string(4097, 'x'));
       }},
      {"width", [](R* r) { r->set_height(32); }},
      {"height", [](R* r) { r->set_width(32); }},
      {"steps", [](R* r) { r->set_steps(1'000'000); }},
      {"guidance_scale", [](R* r) { r->set_guidance_scale(0); }},
      {"image_count", [](R* r) { r->set_image_count(17); }},
      {"solver", [](R* r) { r->set_solver(static_cast<v1::Solver>(77)); }},
      {"acceleration", [](R* r) { r->set_acceleration(static_cast<v1::Acceleration>(77)); }},
      {"preview.every_n_steps", [](R* r) { r->mutable_preview()->set_every_n_steps(-1); }},
      {"preview.max_side", [](R* r) { r->mutable_preview()->set_max_side(513); }},
      {"preview.format",
       [](R* r) { r->mutable_preview()->set_format(static_cast<v1::ImageFormat>(77)); }},
      {"output_format", [](R* r) { r->set_output_format(static_cast<v1::ImageFormat>(77)); }},
      {"priority", [](R* r) { r->set_priority(static_cast<v1::Priority>(77)); }},
      {"request_id", [](R* r) { r->set_request_id("with space"); }},
  };
  for (const BadField& bad : bad_fields) {
    v1::GenerateRequest request = BagRequest();
    bad.spoil(&request);
    const grpc::Status status = Generate(client_, request).status;
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT) << bad.field;
    const auto detail = DetailOf<google::rpc::BadRequest>(status).value();
    ASSERT_EQ(detail.field_violations_size(), 1) << bad.field;
    EXPECT_EQ(detail.field_violations(0).field(), bad.field);
    EXPECT_FALSE(detail.field_violations(0).description().empty());
  }
  EXPECT_TRUE(Generate(client_, BagRequest()).status.ok());
}

TEST_F(GenerationTest, WhatTheModelCannotDoIsRefusedWithItsName) {
  Start();
  v1::GenerateRequest prompt = BagRequest();
  prompt.mutable_text_prompt()->set_prompt("a bag");
  const grpc::Status status = Generate(client_, prompt).status;
  EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_THAT(status.error_message(), HasSubstr("fashion-dit"));
  EXPECT_EQ(DetailOf<google::rpc::ErrorInfo>(status).value().metadata().at("model"), "fashion-dit");

  v1::GenerateRequest unknown = BagRequest();
  unknown.set_model("no-such-model");
  EXPECT_EQ(Generate(client_, unknown).status.error_code(), grpc::StatusCode::NOT_FOUND);
}

TEST_F(GenerationTest, MetricsCountWhatWasMade) {
  Start();
  v1::GenerateRequest request = BagRequest(5);
  request.set_acceleration(v1::ACCELERATION_OFF);
  request.set_image_count(2);
  request.mutable_preview();
  ASSERT_TRUE(Generate(client_, request).status.ok());
  const std::string metrics = server_->Metrics();
  const std::string model = "{model=\"fashion-dit\"}";
  EXPECT_EQ(MetricValue(metrics, "ilf_requests_total{model=\"fashion-dit\",outcome=\"OK\"}"), 1);
  EXPECT_EQ(MetricValue(metrics, "ilf_images_total" + model), 2);
  EXPECT_EQ(MetricValue(metrics, "ilf_block_evaluations_total" + model), 2 * 5 * 28 * 2);
  EXPECT_EQ(MetricValue(metrics, "ilf_plain_block_evaluations_total" + model), 2 * 5 * 28 * 2);
  EXPECT_EQ(MetricValue(metrics, "ilf_queue_wait_seconds_count" + model), 2);
  EXPECT_EQ(MetricValue(metrics, "ilf_first_preview_seconds_count" + model), 1);
  EXPECT_GT(MetricValue(metrics, "ilf_previews_sent_total" + model), 0);
  EXPECT_EQ(MetricValue(metrics, "ilf_batch_rows_sum{model=\"fashion-dit\",worker=\"0\"}"),
            2 * 5 * 2);
  EXPECT_EQ(MetricValue(metrics, "ilf_active_images{worker=\"0\"}"), 0);
  EXPECT_EQ(MetricValue(metrics, "ilf_queued_images"), 0);
  EXPECT_EQ(MetricValue(metrics, "ilf_serving"), 1);
}

}  // namespace
}  // namespace ilf
