// ilf-client: makes pictures with an ilf-server from the command line.
#include <cstdlib>
#include <variant>

#include "client/command/command_line.h"
#include "client/command/commands.h"
#include "client/command/interrupt_watcher.h"

int main(int argc, char** argv) {
  // gRPC, which reads this once, would write lines of its own between ours.
  setenv("GRPC_VERBOSITY", "NONE", /*overwrite=*/0);
  const ilf::Command command = ilf::ParseCommandLine(argc, argv);
  if (const auto* exit = std::get_if<ilf::ExitNow>(&command)) return exit->code;
  const ilf::InterruptWatcher interrupts;
  if (const auto* generate = std::get_if<ilf::GenerateCommand>(&command)) {
    return ilf::RunGenerate(*generate, interrupts.Token());
  }
  if (const auto* health = std::get_if<ilf::HealthCommand>(&command)) {
    return ilf::RunHealth(*health, interrupts.Token());
  }
  return ilf::RunModels(std::get<ilf::ModelsCommand>(command), interrupts.Token());
}
