// A real server on a loopback port, over a scripted engine.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/base/clock.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "grpcpp/grpcpp.h"
#include "gtest/gtest.h"
#include "ilf/v1/image_generation.grpc.pb.h"
#include "server/server.h"
#include "tests/server/scripted_engine.h"
#include "tests/server/test_models.h"

namespace ilf {

class ServerFixture : public testing::Test {
 protected:
  using Stream = std::unique_ptr<grpc::ClientReader<v1::GenerateResponse>>;

  // Without a metrics port, which takes two seconds to close.
  static ServerOptions DefaultOptions() {
    ServerOptions options;
    options.address = "127.0.0.1:0";
    options.metrics_address = kNoMetrics;
    return options;
  }

  // Starts the server, not yet serving.
  void Start(const ServerOptions& options = DefaultOptions()) {
    auto server = Server::Start(options, SystemClock());
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    // A channel of its own: gRPC shares the connections of equal channels, and with them flow
    // control.
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    channel_ = grpc::CreateCustomChannel(server_->address(), grpc::InsecureChannelCredentials(),
                                         arguments);
    stub_ = v1::ImageGenerationService::NewStub(channel_);
    health_ = grpc::health::v1::Health::NewStub(channel_);
  }

  void StartServing(const ServerOptions& options = DefaultOptions()) {
    ASSERT_NO_FATAL_FAILURE(Start(options));
    server_->Serve(&engine_);
  }

  static v1::GenerateRequest BagRequest() {
    v1::GenerateRequest request;
    request.set_model("dit");
    request.mutable_class_label()->set_name("Bag");
    return request;
  }

  // What a call that answers nothing but its status ends with.
  grpc::Status StatusOf(const v1::GenerateRequest& request) {
    grpc::ClientContext context;
    const Stream stream = stub_->Generate(&context, request);
    v1::GenerateResponse response;
    EXPECT_FALSE(stream->Read(&response)) << response.ShortDebugString();
    return stream->Finish();
  }

  static std::vector<v1::GenerateResponse> ReadAll(const Stream& stream) {
    std::vector<v1::GenerateResponse> responses;
    v1::GenerateResponse response;
    while (stream->Read(&response)) responses.push_back(response);
    return responses;
  }

  ScriptedEngine engine_{{TextModel(), ClassModel()}};
  std::unique_ptr<Server> server_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::ImageGenerationService::Stub> stub_;
  std::unique_ptr<grpc::health::v1::Health::Stub> health_;
};

}  // namespace ilf
