#include "client/client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/error_details.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "tests/client/scripted_server.h"

namespace ilf {
namespace {

using ::testing::ElementsAre;

class ClientTest : public ::testing::Test {
 protected:
  absl::Status Generate(Client::EventCallback on_event = [](const v1::GenerateResponse&) {}) {
    return Client({.address = server_.address()}).Generate(request_, on_event);
  }

  void Answer(std::vector<v1::GenerateResponse> events, grpc::Status status = grpc::Status::OK) {
    server_.generate = [events, status](const v1::GenerateRequest&,
                                        ScriptedServer::Writer& writer) {
      for (const v1::GenerateResponse& event : events) writer.Write(event);
      return status;
    };
  }

  ScriptedServer server_;
  v1::GenerateRequest request_;
};

std::vector<v1::GenerateResponse> InChunks(const v1::GenerateResponse& image, size_t chunk_size) {
  std::vector<v1::GenerateResponse> chunks;
  const std::string& data = image.image().data();
  for (size_t offset = 0; offset < data.size(); offset += chunk_size) {
    v1::GenerateResponse chunk = image;
    chunk.mutable_image()->set_chunk_offset(offset);
    chunk.mutable_image()->set_last_chunk(offset + chunk_size >= data.size());
    chunk.mutable_image()->set_data(data.substr(offset, chunk_size));
    chunks.push_back(chunk);
  }
  return chunks;
}

TEST_F(ClientTest, SendsTheRequestAsItIs) {
  request_.mutable_class_label()->set_name("Sneaker");
  request_.set_seed(0);
  v1::GenerateRequest received;
  server_.generate = [&](const v1::GenerateRequest& request, ScriptedServer::Writer& writer) {
    received = request;
    writer.Write(CompletedEvent(0));
    return grpc::Status::OK;
  };
  EXPECT_TRUE(Generate().ok());
  EXPECT_EQ(received.SerializeAsString(), request_.SerializeAsString());
}

TEST_F(ClientTest, EventsArriveInOrder) {
  Answer({QueuedEvent(), StartedEvent(), StepEvent(0, 1, 2), PreviewEvent(0, 1, 2, "p"),
          StepEvent(0, 2, 2), ImageEvent(0, 2, "i"), CompletedEvent(1)});
  std::vector<int> cases;
  const absl::Status status =
      Generate([&](const v1::GenerateResponse& event) { cases.push_back(event.event_case()); });
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_THAT(cases, ElementsAre(v1::GenerateResponse::kQueued, v1::GenerateResponse::kStarted,
                                 v1::GenerateResponse::kStep, v1::GenerateResponse::kPreview,
                                 v1::GenerateResponse::kStep, v1::GenerateResponse::kImage,
                                 v1::GenerateResponse::kCompleted));
}

TEST_F(ClientTest, ImageLargerThanAMessageArrivesWhole) {
  const std::string data(9 << 20, 'x');
  std::vector<v1::GenerateResponse> events = InChunks(ImageEvent(0, 2, data), 256 << 10);
  events.push_back(CompletedEvent(1));
  Answer(events);
  std::vector<v1::ImageEvent> images;
  const absl::Status status = Generate([&](const v1::GenerateResponse& event) {
    if (event.has_image()) images.push_back(event.image());
  });
  EXPECT_TRUE(status.ok()) << status;
  ASSERT_EQ(images.size(), 1u);
  EXPECT_EQ(images[0].data(), data);
  EXPECT_TRUE(images[0].last_chunk());
  EXPECT_EQ(images[0].seed(), 7u);
}

TEST_F(ClientTest, StreamThatEndsEarlyIsDataLoss) {
  Answer({QueuedEvent(), StartedEvent()});
  EXPECT_EQ(Generate().code(), absl::StatusCode::kDataLoss);
}

TEST_F(ClientTest, EventBetweenChunksIsDataLoss) {
  std::vector<v1::GenerateResponse> events = InChunks(ImageEvent(0, 2, "abcdef"), 3);
  events.insert(events.begin() + 1, StepEvent(1, 1, 2));
  Answer(events);
  EXPECT_EQ(Generate().code(), absl::StatusCode::kDataLoss);
}

TEST_F(ClientTest, StopEndsARunningCall) {
  server_.generate = [](const v1::GenerateRequest&, ScriptedServer::Writer& writer) {
    return WriteUntilCancelled(writer);
  };
  std::stop_source stop;
  Client client({.address = server_.address()});
  const absl::Status status = client.Generate(
      request_, [&](const v1::GenerateResponse&) { stop.request_stop(); }, stop.get_token());
  EXPECT_EQ(status.code(), absl::StatusCode::kCancelled);
}

TEST_F(ClientTest, StopBeforeTheCallEndsItAtOnce) {
  server_.generate = [](const v1::GenerateRequest&, ScriptedServer::Writer& writer) {
    return WriteUntilCancelled(writer);
  };
  std::stop_source stop;
  stop.request_stop();
  Client client({.address = server_.address()});
  const absl::Status status =
      client.Generate(request_, [](const v1::GenerateResponse&) {}, stop.get_token());
  EXPECT_EQ(status.code(), absl::StatusCode::kCancelled);
}

TEST_F(ClientTest, TimeoutEndsTheCall) {
  server_.generate = [](const v1::GenerateRequest&, ScriptedServer::Writer& writer) {
    return WriteUntilCancelled(writer);
  };
  Client client({.address = server_.address(), .timeout = absl::Milliseconds(50)});
  const absl::Status status = client.Generate(request_, [](const v1::GenerateResponse&) {});
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
}

TEST_F(ClientTest, ErrorComesWithItsDetails) {
  google::rpc::BadRequest bad_request;
  auto* violation = bad_request.add_field_violations();
  violation->set_field("steps");
  violation->set_description("must be 1 to 1000");
  google::rpc::RetryInfo retry;
  retry.mutable_retry_delay()->set_nanos(500'000'000);
  google::rpc::Status details;
  details.add_details()->PackFrom(bad_request);
  details.add_details()->PackFrom(retry);
  Answer({}, grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "bad", details.SerializeAsString()));

  const absl::Status status = Generate();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(), "bad");
  const auto received = BadRequestOf(status);
  ASSERT_TRUE(received.has_value());
  EXPECT_EQ(received->field_violations(0).field(), "steps");
  EXPECT_EQ(RetryDelayOf(status), absl::Milliseconds(500));
  EXPECT_FALSE(ErrorInfoOf(status).has_value());
}

TEST_F(ClientTest, DetailsThatDoNotParseLeaveTheErrorAsItIs) {
  Answer({}, grpc::Status(grpc::StatusCode::INTERNAL, "broken", "\xff\xff\xff"));
  const absl::Status status = Generate();
  EXPECT_EQ(status, absl::InternalError("broken"));
}

TEST_F(ClientTest, NobodyThereIsUnavailable) {
  std::string address;
  {
    address = ScriptedServer().address();
  }
  Client client({.address = address});
  EXPECT_EQ(client.ListModels().status().code(), absl::StatusCode::kUnavailable);
}

TEST_F(ClientTest, ListsModels) {
  server_.models.add_models()->set_name("fashion");
  const auto models = Client({.address = server_.address()}).ListModels();
  ASSERT_TRUE(models.ok()) << models.status();
  EXPECT_EQ(models->models(0).name(), "fashion");
}

// Calls one client makes until both servers of its target have had one, at most `most`.
int CallsUntilBothServe(const std::string& service_config, int most) {
  ScriptedServer first, second;
  std::atomic<int> calls_of_first = 0, calls_of_second = 0;
  const auto count = [](std::atomic<int>* calls) {
    return [calls](const v1::GenerateRequest&, ScriptedServer::Writer& writer) {
      ++*calls;
      writer.Write(CompletedEvent(0));
      return grpc::Status::OK;
    };
  };
  first.generate = count(&calls_of_first);
  second.generate = count(&calls_of_second);
  Client client({.address = absl::StrCat("ipv4:", first.address(), ",", second.address()),
                 .service_config = service_config});
  int calls = 0;
  while (calls < most && (calls_of_first == 0 || calls_of_second == 0)) {
    EXPECT_TRUE(client.Generate({}, [](const v1::GenerateResponse&) {}).ok());
    ++calls;
  }
  return calls;
}

TEST_F(ClientTest, WithoutAServiceConfigAllCallsGoToOneServer) {
  constexpr int kCalls = 20;
  EXPECT_EQ(CallsUntilBothServe("", kCalls), kCalls);
}

TEST_F(ClientTest, AServiceConfigBalancesTheCallsOfOneClient) {
  constexpr int kForEver = 100'000;  // until the second connection stands
  EXPECT_LT(CallsUntilBothServe(R"({"loadBalancingConfig": [{"round_robin": {}}]})", kForEver),
            kForEver);
}

TEST_F(ClientTest, AServiceConfigThatGrpcDoesNotTakeFailsTheCalls) {
  for (const char* config : {"{", R"({"loadBalancingConfig": [{"no_such_policy": {}}]})"}) {
    Client client({.address = server_.address(), .service_config = config});
    EXPECT_FALSE(client.ListModels().ok()) << config;
  }
}

TEST_F(ClientTest, CallsOfOneClientRunSideBySide) {
  Answer({StepEvent(0, 1, 2), CompletedEvent(0)});
  Client client({.address = server_.address()});
  std::vector<absl::Status> results(4, absl::UnknownError("not run"));
  std::vector<std::thread> threads;
  for (absl::Status& result : results) {
    threads.emplace_back(
        [&] { result = client.Generate(request_, [](const v1::GenerateResponse&) {}); });
  }
  for (std::thread& thread : threads) thread.join();
  for (const absl::Status& result : results) EXPECT_TRUE(result.ok()) << result;
}

}  // namespace
}  // namespace ilf
