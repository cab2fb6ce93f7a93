#include "tests/integration/server_process.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <map>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "engine/base/check.h"
#include "tests/testing/http_get.h"

namespace ilf {
std::string ShippedModels() { return ILF_SOURCE_DIR "/models"; }

namespace {

TestClient Connect(const std::string& address) {
  // gRPC would share one connection, and its flow control, among equal channels.
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  TestClient client;
  client.channel =
      grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
  client.images = v1::ImageGenerationService::NewStub(client.channel);
  client.health = grpc::health::v1::Health::NewStub(client.channel);
  return client;
}

}  // namespace

ServerProcess::ServerProcess(const std::vector<std::string>& flags) {
  int ports[2];
  Check(pipe2(ports, O_CLOEXEC) == 0, "no pipe");
  std::vector<std::string> arguments = {ILF_BINARY_DIR "/bin/ilf-server",
                                        absl::StrCat("--port_file=/dev/fd/", ports[1])};
  for (const std::string& flag :
       {std::string("--address=127.0.0.1:0"), std::string("--metrics_address=127.0.0.1:0"),
        absl::StrCat("--model_root=", ShippedModels())}) {
    const std::string name = flag.substr(0, flag.find('=') + 1);
    const auto same = [&](const std::string& given) { return absl::StartsWith(given, name); };
    if (std::none_of(flags.begin(), flags.end(), same)) arguments.push_back(flag);
  }
  arguments.insert(arguments.end(), flags.begin(), flags.end());
  process_ = std::make_unique<ChildProcess>(arguments, ports[1]);
  close(ports[1]);

  std::string port_file;
  char c;
  // The server keeps the inherited descriptor open: three lines are all there is.
  while (std::count(port_file.begin(), port_file.end(), '\n') < 3 && read(ports[0], &c, 1) == 1) {
    port_file += c;
  }
  close(ports[0]);
  std::map<std::string, std::string> entries;
  for (absl::string_view line : absl::StrSplit(port_file, '\n', absl::SkipEmpty())) {
    entries.insert(absl::StrSplit(line, absl::MaxSplits('=', 1)));
  }
  address_ = entries["address"];
  metrics_address_ = entries["metrics_address"];
  health_address_ = entries["health_address"];
}

TestClient ServerProcess::Client() const { return Connect(address_); }

TestClient ServerProcess::HealthClient() const { return Connect(health_address_); }

bool ServerProcess::AwaitServing() const {
  const TestClient client = Client();
  grpc::ClientContext context;
  const auto watch = client.health->Watch(&context, {});
  grpc::health::v1::HealthCheckResponse response;
  while (watch->Read(&response)) {
    if (response.status() != grpc::health::v1::HealthCheckResponse::SERVING) continue;
    context.TryCancel();
    return true;
  }
  return false;
}

std::string ServerProcess::Metrics() const { return HttpGet(metrics_address_, "/metrics"); }

}  // namespace ilf
