// Starting and stopping the real server.
#include <signal.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/integration/requests.h"
#include "tests/integration/server_process.h"
#include "tests/testing/certificates.h"
#include "tests/testing/temp_path.h"

namespace ilf {
namespace {

namespace fs = std::filesystem;
using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;
using testing::ElementsAre;
using testing::HasSubstr;

HealthCheckResponse::ServingStatus Health(const TestClient& client, const std::string& service) {
  grpc::ClientContext context;
  HealthCheckRequest request;
  request.set_service(service);
  HealthCheckResponse response;
  EXPECT_TRUE(client.health->Check(&context, request, &response).ok());
  return response.status();
}

TEST(LifecycleTest, IsNotServingWhileItLoads) {
  // A model whose first file is a pipe: the load goes on when the test has written it.
  const TemporaryDirectory root;
  fs::copy(ShippedModels() + "/fashion-dit", fs::path(root.path()) / "fashion-dit",
           fs::copy_options::recursive);
  const fs::path pipe = fs::path(root.path()) / "fashion-dit" / "model_index.json";
  fs::remove(pipe);
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);

  ServerProcess server({"--model_root=" + root.path(), "--health_address=127.0.0.1:0"});
  const TestClient client = server.Client();
  const TestClient probe = server.HealthClient();
  EXPECT_EQ(Health(probe, "liveness"), HealthCheckResponse::SERVING);
  EXPECT_EQ(Health(probe, "readiness"), HealthCheckResponse::NOT_SERVING);
  EXPECT_EQ(Health(client, ""), HealthCheckResponse::NOT_SERVING);
  EXPECT_EQ(Health(client, "ilf.v1.ImageGenerationService"), HealthCheckResponse::NOT_SERVING);
  EXPECT_EQ(Generate(client, BagRequest()).status.error_code(), grpc::StatusCode::UNAVAILABLE);

  grpc::ClientContext context;
  const auto watch = client.health->Watch(&context, {});
  HealthCheckResponse response;
  ASSERT_TRUE(watch->Read(&response));
  EXPECT_EQ(response.status(), HealthCheckResponse::NOT_SERVING);
  std::ofstream(pipe) << std::ifstream(ShippedModels() + "/fashion-dit/model_index.json").rdbuf();
  ASSERT_TRUE(watch->Read(&response)) << testing::PrintToString(server.process().Lines());
  EXPECT_EQ(response.status(), HealthCheckResponse::SERVING);
  context.TryCancel();
  EXPECT_EQ(Health(probe, "readiness"), HealthCheckResponse::SERVING);
  EXPECT_TRUE(Generate(client, BagRequest()).status.ok());
}

TEST(LifecycleTest, ShutdownUnderLoadFinishesWhatRunsAndRefusesWhatIsNew) {
  ServerProcess server({"--drain_timeout=10m", "--health_address=127.0.0.1:0"});
  ASSERT_TRUE(server.AwaitServing());
  const TestClient client = server.Client();
  const TestClient probe = server.HealthClient();
  grpc::ClientContext watch_context;
  const auto watch = client.health->Watch(&watch_context, {});
  HealthCheckResponse health;
  ASSERT_TRUE(watch->Read(&health));

  constexpr int kRequests = 4;
  std::vector<std::unique_ptr<grpc::ClientContext>> contexts;
  std::vector<GenerateStream> streams;
  for (int i = 0; i < kRequests; ++i) {
    contexts.push_back(std::make_unique<grpc::ClientContext>());
    v1::GenerateRequest request = BagRequest(100);
    request.set_image_count(2);
    streams.push_back(client.images->Generate(contexts.back().get(), request));
    ASSERT_TRUE(ReadUntil(streams.back(), v1::GenerateResponse::kQueued));
  }
  server.process().Signal(SIGTERM);
  ASSERT_TRUE(watch->Read(&health));
  EXPECT_EQ(health.status(), HealthCheckResponse::NOT_SERVING);
  EXPECT_EQ(Generate(client, BagRequest()).status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(Health(probe, "readiness"), HealthCheckResponse::NOT_SERVING);
  EXPECT_EQ(Health(probe, "liveness"), HealthCheckResponse::SERVING);
  for (const GenerateStream& stream : streams) {
    const Outcome outcome = ReadToEnd(stream);
    EXPECT_TRUE(outcome.status.ok()) << outcome.status.error_message();
    EXPECT_EQ(outcome.images.size(), 2u);
  }
  watch_context.TryCancel();
  EXPECT_EQ(server.process().Wait(), 0);
}

TEST(LifecycleTest, ShutdownEndsWhatOutlastsTheDrainTimeout) {
  ServerProcess server({"--drain_timeout=0s"});
  ASSERT_TRUE(server.AwaitServing());
  const TestClient client = server.Client();
  grpc::ClientContext context;
  const GenerateStream endless = client.images->Generate(&context, EndlessRequest());
  ASSERT_TRUE(ReadUntil(endless, v1::GenerateResponse::kStep));
  server.process().Signal(SIGINT);
  EXPECT_EQ(ReadToEnd(endless).status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(server.process().Wait(), 0);
}

TEST(LifecycleTest, ABrokenModelEndsTheStartWithOneLineThatNamesTheFile) {
  const TemporaryDirectory root;
  fs::copy(ShippedModels() + "/fashion-dit", fs::path(root.path()) / "fashion-dit",
           fs::copy_options::recursive);
  const fs::path weights =
      fs::path(root.path()) / "fashion-dit" / "transformer" / "diffusion_pytorch_model.safetensors";
  fs::resize_file(weights, fs::file_size(weights) / 2);
  ServerProcess server({"--model_root=" + root.path(), "--log_level=error"});
  EXPECT_EQ(server.process().Wait(), 1);
  EXPECT_THAT(server.process().Lines(), ElementsAre(HasSubstr(weights.string())));
}

TEST(LifecycleTest, AModelRootThatIsNotThereEndsTheStartWithOneLine) {
  ServerProcess server({"--model_root=/nowhere/models", "--log_level=error"});
  EXPECT_EQ(server.process().Wait(), 1);
  EXPECT_THAT(server.process().Lines(), ElementsAre(HasSubstr("/nowhere/models")));
}

TEST(LifecycleTest, AnAddressInUseEndsTheStartWithOneLine) {
  const ServerProcess first;
  ServerProcess second({"--log_level=error", "--address=" + first.address()});
  EXPECT_EQ(second.process().Wait(), 1);
  EXPECT_THAT(second.process().Lines(), ElementsAre("ilf-server: cannot listen on " +
                                                    first.address() + ": Address already in use"));
}

TEST(LifecycleTest, ABadFlagOrConfigurationExitsWithTwo) {
  ServerProcess flag({"--max_batch_rows=1"});
  EXPECT_EQ(flag.process().Wait(), 2);
  EXPECT_THAT(flag.process().Lines(),
              ElementsAre("ilf-server: --max_batch_rows: must lie between 2 and 4096, is 1"));

  ServerProcess key({"--tls_key=/nowhere/tls.key"});
  EXPECT_EQ(key.process().Wait(), 2);
  EXPECT_THAT(
      key.process().Lines(),
      ElementsAre("ilf-server: --tls_cert: missing: --tls_key needs the key's certificate"));

  const TemporaryDirectory folder;
  const std::string path =
      folder.Write("ilf.textproto", "model_root: \"models\"\nbatching {\n  max_batch_rows: 1\n}\n");
  ServerProcess config({"--config=" + path});
  EXPECT_EQ(config.process().Wait(), 2);
  EXPECT_THAT(config.process().Lines(),
              ElementsAre("ilf-server: " + path +
                          ":3:3: batching.max_batch_rows: must lie between 2 and 4096, is 1"));
}

TEST(LifecycleTest, ServesMutualTlsAndPlainTextProbes) {
  const CertificateAuthority authority;
  const Identity identity = authority.Issue();
  SecretFolder files;
  files.Replace({{"crt", identity.cert}, {"key", identity.key}, {"ca", authority.cert()}});
  ServerProcess server({"--health_address=127.0.0.1:0", "--tls_cert=" + files.Path("crt"),
                        "--tls_key=" + files.Path("key"), "--tls_client_ca=" + files.Path("ca")});
  const auto client = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), ILF_BINARY_DIR "/bin/ilf-client");
    ChildProcess process(arguments);
    return process.Wait();
  };
  const TestClient probe = server.HealthClient();
  grpc::ClientContext context;
  const auto watch = probe.health->Watch(&context, {});
  HealthCheckResponse response;
  while (watch->Read(&response) && response.status() != HealthCheckResponse::SERVING) continue;
  context.TryCancel();
  EXPECT_EQ(client({"health", "--service", "readiness", "--address", server.health_address()}), 0);
  EXPECT_EQ(
      client({"models", "fashion-dit", "--address", server.address(), "--tls_ca", files.Path("ca"),
              "--tls_cert", files.Path("crt"), "--tls_key", files.Path("key")}),
      0);
  EXPECT_EQ(client({"models", "--address", server.address(), "--tls_ca", files.Path("ca")}), 4);
  EXPECT_EQ(client({"models", "--address", server.address()}), 4);
  server.process().Signal(SIGTERM);
  EXPECT_EQ(server.process().Wait(), 0);
  EXPECT_THAT(server.process().Lines(), testing::Contains(HasSubstr("mutual TLS: on")));
}

TEST(LifecycleTest, CheckConfigOpensNoPort) {
  ServerProcess server({"--check_config"});
  EXPECT_EQ(server.process().Wait(), 0);
  EXPECT_THAT(server.process().Lines(), testing::IsEmpty());
  EXPECT_EQ(server.address(), "");
}

}  // namespace
}  // namespace ilf
