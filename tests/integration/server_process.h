// The real ilf-server on the shipped model, as its own process, and clients for it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "grpc/health/v1/health.grpc.pb.h"
#include "grpcpp/grpcpp.h"
#include "ilf/v1/image_generation.grpc.pb.h"
#include "tests/integration/child_process.h"

namespace ilf {

// The folder of the models that ship.
std::string ShippedModels();

// A client with a connection of its own.
struct TestClient {
  std::shared_ptr<grpc::Channel> channel;
  std::unique_ptr<v1::ImageGenerationService::Stub> images;
  std::unique_ptr<grpc::health::v1::Health::Stub> health;
};

class ServerProcess {
 public:
  // Starts ilf-server on free ports, and waits until the ports are open or the
  // process has ended. Unless `flags` say otherwise, it serves the shipped models.
  explicit ServerProcess(const std::vector<std::string>& flags = {});

  // "" when the process ended before its ports were open.
  const std::string& address() const { return address_; }
  const std::string& metrics_address() const { return metrics_address_; }
  // "" without --health_address.
  const std::string& health_address() const { return health_address_; }
  ChildProcess& process() { return *process_; }

  TestClient Client() const;
  // Of the port for health checks alone.
  TestClient HealthClient() const;

  // Waits until the health service says SERVING; false when the process ended before.
  bool AwaitServing() const;

  // The text of /metrics.
  std::string Metrics() const;

 private:
  std::string address_;
  std::string metrics_address_;
  std::string health_address_;
  std::unique_ptr<ChildProcess> process_;
};

}  // namespace ilf
