// The commands of ilf-client.
#pragma once

#include <stop_token>

#include "client/command/command_line.h"

namespace ilf {

// Makes the images and writes them to files: their paths go to standard output, one a line (with
// --json the events do), progress and errors to standard error. Blocks until done or `stop` is
// requested. Returns the program's exit code.
int RunGenerate(const GenerateCommand& command, std::stop_token stop);

// Prints what the server serves. Returns the program's exit code.
int RunModels(const ModelsCommand& command, std::stop_token stop);

// Prints the status of the service: SERVING or NOT_SERVING. Returns the program's exit code, 0 only
// for SERVING.
int RunHealth(const HealthCommand& command, std::stop_token stop);

}  // namespace ilf
