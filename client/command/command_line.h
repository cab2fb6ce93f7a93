// The command line of ilf-client.
#pragma once

#include <optional>
#include <string>
#include <variant>

#include "absl/time/time.h"
#include "client/client.h"
#include "client/command/progress_view.h"
#include "ilf/v1/image_generation.pb.h"

namespace ilf {

// Where the server is, and how to talk to it.
struct Connection {
  ClientOptions client;
  bool tls = false;       // client.credentials are set
  bool tls_cert = false;  // and show a certificate
};

// ilf-client generate
struct GenerateCommand {
  Connection connection;
  v1::GenerateRequest request;
  // Set where --preview_every was not given: previews of this size where they can be drawn.
  std::optional<int> default_preview_side;
  std::string out;  // where the images go, see OutputFiles
  bool json = false;
  ProgressMode progress = ProgressMode::kAuto;
};

// ilf-client models
struct ModelsCommand {
  Connection connection;
  std::optional<std::string> model;  // only this one
  bool json = false;
};

// ilf-client health
struct HealthCommand {
  Connection connection;
  std::string service;
  bool json = false;
};

// The program should end with this code: the help or what is wrong has been printed.
struct ExitNow {
  int code = 0;
};

using Command = std::variant<ExitNow, GenerateCommand, ModelsCommand, HealthCommand>;

Command ParseCommandLine(int argc, const char* const* argv);

}  // namespace ilf
