#include "server/flags.h"

#include <CLI/CLI.hpp>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "server/duration_conversion.h"
#include "server/server_options.h"
#include "server/version.h"

namespace ilf {
namespace {

using config::v1::ServerConfig;

constexpr char kDescription[] =
    "Serves diffusion transformers over gRPC (ilf.v1.ImageGenerationService), with health checks,\n"
    "reflection, and Prometheus metrics over HTTP.";

constexpr char kFooter[] =
    "Flags override the configuration file (ilf.config.v1.ServerConfig in protobuf's text "
    "format).\n"
    "SIGTERM and SIGINT refuse new requests, finish what runs within --drain_timeout, then exit.\n"
    "Exit codes: 0 after a clean stop, 1 when the server cannot start, 2 for a bad flag or\n"
    "configuration.";

google::protobuf::Duration ParseDurationFlag(const std::string& flag, const std::string& text) {
  absl::Duration duration;
  if (!absl::ParseDuration(text, &duration)) {
    throw CLI::ValidationError(flag,
                               absl::StrCat("must be a duration such as 30s, is '", text, "'"));
  }
  return ToProto(duration);
}

void AddPlaceFlags(CLI::App* app, Flags* flags, ServerConfig* config) {
  const ServerOptions defaults;
  app->add_option("--config", flags->config_file, "Configuration file")->type_name("FILE");
  app->add_option_function<std::string>(
         "--model_root", [config](const std::string& value) { config->set_model_root(value); },
         "Serves every model directory under this folder, by its folder's name")
      ->type_name("DIR");
  app->add_option_function<std::string>(
         "--address", [config](const std::string& value) { config->set_address(value); },
         absl::StrCat("Where gRPC listens; port 0 picks one (default ", defaults.address, ")"))
      ->type_name("HOST:PORT");
  app->add_option_function<std::string>(
         "--metrics_address",
         [config](const std::string& value) { config->set_metrics_address(value); },
         absl::StrCat("Where /metrics listens; port 0 picks one, none turns it off (default ",
                      defaults.metrics_address, ")"))
      ->type_name("HOST:PORT");
  app->add_option_function<std::string>(
         "--health_address",
         [config](const std::string& value) { config->set_health_address(value); },
         absl::StrCat("Where a plaintext port for health checks alone listens, for probes; port 0 "
                      "picks one, none opens none (default ",
                      defaults.health_address, ")"))
      ->type_name("HOST:PORT");
  app->add_option("--port_file", flags->port_file,
                  "Receives the lines address=HOST:PORT, metrics_address=HOST:PORT and "
                  "health_address=HOST:PORT as soon as the ports are open; may be a named pipe")
      ->type_name("FILE");
}

void AddTlsFlags(CLI::App* app, ServerConfig* config) {
  const ServerOptions defaults;
  app->add_option_function<std::string>(
         "--tls_cert", [config](const std::string& value) { config->set_tls_cert(value); },
         "Certificate of the server, PEM, with the intermediate ones after it; turns TLS on for "
         "--address")
      ->type_name("FILE");
  app->add_option_function<std::string>(
         "--tls_key", [config](const std::string& value) { config->set_tls_key(value); },
         "Private key of --tls_cert, PEM, without a passphrase")
      ->type_name("FILE");
  app->add_option_function<std::string>(
         kClientAuthoritiesFlag,
         [config](const std::string& value) { config->set_tls_client_ca(value); },
         "Authorities of the clients' certificates, PEM; turns mutual TLS on: a client must show a "
         "certificate that one of them has signed")
      ->type_name("FILE");
  app->add_option_function<std::string>(
         "--tls_refresh_interval",
         [config](const std::string& value) {
           *config->mutable_tls_refresh_interval() =
               ParseDurationFlag("--tls_refresh_interval", value);
         },
         absl::StrCat("How often the TLS files are looked at for renewed contents, which new "
                      "connections then use (default ",
                      absl::FormatDuration(defaults.tls_refresh_interval), ")"))
      ->type_name("DURATION");
}

void AddDeviceFlags(CLI::App* app, ServerConfig* config) {
  app->add_option_function<std::vector<std::string>>(
         "--device",
         [config](const std::vector<std::string>& values) {
           config->mutable_device()->Assign(values.begin(), values.end());
         },
         "One worker per entry: cpu or cuda:N, separated by commas; may be repeated (default cpu)")
      ->delimiter(',')
      ->type_name("NAME");
  app->add_option_function<int>(
         "--threads_per_worker", [config](int value) { config->set_threads_per_worker(value); },
         "Math threads of each CPU worker; 0 shares the cores out evenly, those of the container's "
         "limit where there is one (default 0)")
      ->type_name("N");
  app->add_option_function<std::string>(
         "--dtype", [config](const std::string& value) { config->set_dtype(value); },
         "Number format: auto (bfloat16 where the hardware is fast at it), float32, bfloat16 "
         "(default auto)")
      ->type_name("NAME");
}

void AddLimitFlags(CLI::App* app, ServerConfig* config) {
  const ServerOptions defaults;
  app->add_option_function<int>(
         "--max_queued_images",
         [config](int value) { config->mutable_batching()->set_max_queued_images(value); },
         absl::StrCat("Images that may wait; more are refused (default ",
                      defaults.max_queued_images, ")"))
      ->type_name("N");
  app->add_option_function<int>(
         "--max_batch_rows",
         [config](int value) { config->mutable_batching()->set_max_batch_rows(value); },
         absl::StrCat("Transformer rows of one step, two per image with guidance (default ",
                      defaults.max_batch_rows, ")"))
      ->type_name("N");
  app->add_option_function<int>(
         "--max_batch_tokens",
         [config](int value) { config->mutable_batching()->set_max_batch_tokens(value); },
         absl::StrCat("Tokens of all rows of one step; with most models a row has one for each "
                      "16 x 16 pixels (default ",
                      defaults.max_batch_tokens, ")"))
      ->type_name("N");
  app->add_option_function<int>(
         "--max_active_images",
         [config](int value) { config->mutable_batching()->set_max_active_images(value); },
         absl::StrCat("Images that one worker keeps under way (default ",
                      defaults.max_active_images, ")"))
      ->type_name("N");
  app->add_option_function<std::string>(
         "--write_stall_timeout",
         [config](const std::string& value) {
           *config->mutable_streaming()->mutable_write_stall_timeout() =
               ParseDurationFlag("--write_stall_timeout", value);
         },
         absl::StrCat("Cancels a stream whose client accepts nothing for so long (default ",
                      absl::FormatDuration(defaults.write_stall_timeout), ")"))
      ->type_name("DURATION");
  app->add_option_function<std::string>(
         "--max_connection_age",
         [config](const std::string& value) {
           *config->mutable_max_connection_age() = ParseDurationFlag("--max_connection_age", value);
         },
         "Sends a client to a new connection after so long, and with it to another server where "
         "several share the load; calls under way go on. 0s never does (default 0s)")
      ->type_name("DURATION");
  app->add_option_function<std::string>(
         "--drain_timeout",
         [config](const std::string& value) {
           *config->mutable_drain_timeout() = ParseDurationFlag("--drain_timeout", value);
         },
         absl::StrCat("How long running requests may take after SIGTERM (default ",
                      absl::FormatDuration(defaults.drain_timeout), ")"))
      ->type_name("DURATION");
}

}  // namespace

absl::StatusOr<Flags> ParseFlags(int argc, const char* const* argv) {
  Flags flags;
  CLI::App app(kDescription, "ilf-server");
  app.footer(kFooter);
  app.get_formatter()->column_width(36);
  AddPlaceFlags(&app, &flags, &flags.overrides);
  AddTlsFlags(&app, &flags.overrides);
  AddDeviceFlags(&app, &flags.overrides);
  AddLimitFlags(&app, &flags.overrides);
  app.add_option_function<std::string>(
         "--log_level",
         [&flags](const std::string& value) { flags.overrides.set_log_level(value); },
         "debug, info, warning or error (default info)")
      ->type_name("NAME");
  app.add_flag("--check_config", flags.check_config, "Only checks flags and configuration");
  app.set_version_flag("--version", absl::StrCat("ilf-server ", Version()));
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    flags.show = app.help();
    return flags;
  } catch (const CLI::CallForVersion& version) {
    flags.show = absl::StrCat(version.what(), "\n");
    return flags;
  } catch (const CLI::ParseError& error) {
    return absl::InvalidArgumentError(error.what());
  }
  std::vector<std::string> mistakes;
  for (const ConfigViolation& violation : CheckConfig(flags.overrides)) {
    mistakes.push_back(absl::StrCat("--", violation.field.back(), ": ", violation.description));
  }
  if (!mistakes.empty()) return absl::InvalidArgumentError(absl::StrJoin(mistakes, "\n"));
  return flags;
}

}  // namespace ilf
