#include <cstdio>
#include <string>
#include <utility>

#include "client/command/commands.h"
#include "client/command/event_json.h"
#include "client/command/exit_code.h"

namespace ilf {

using grpc::health::v1::HealthCheckResponse;

int RunHealth(const HealthCommand& command, std::stop_token stop) {
  Client client(command.connection.client);
  const auto health = client.CheckHealth(command.service, std::move(stop));
  if (!health.ok()) {
    std::fputs(ErrorText(health.status(), command.connection).c_str(), stderr);
    return ExitCodeOf(health.status());
  }
  const std::string text = command.json ? ToJsonLine(*health)
                                        : HealthCheckResponse::ServingStatus_Name(health->status());
  if (std::printf("%s\n", text.c_str()) < 0 || std::fflush(stdout) != 0) return kExitCannotWrite;
  return health->status() == HealthCheckResponse::SERVING ? kExitOk : kExitUnavailable;
}

}  // namespace ilf
