// ilf-server: reads flags and configuration, opens its ports, loads the models, serves until
// SIGTERM.
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "engine/base/clock.h"
#include "engine/base/status_macros.h"
#include "engine/runtime/create_engine.h"
#include "server/config_file.h"
#include "server/flags.h"
#include "server/server.h"
#include "server/server_options.h"
#include "server/shutdown_signal.h"
#include "server/version.h"
#include "spdlog/sinks/stdout_color_sinks.h"
#include "spdlog/spdlog.h"

namespace ilf {
namespace {

constexpr int kExitCannotStart = 1;
constexpr int kExitBadUsage = 2;

int Fail(int exit_code, const absl::Status& status) {
  std::fprintf(stderr, "ilf-server: %s\n", std::string(status.message()).c_str());
  return exit_code;
}

absl::StatusOr<ServerOptions> ReadOptions(const Flags& flags) {
  config::v1::ServerConfig file;
  if (!flags.config_file.empty()) {
    ILF_ASSIGN_OR_RETURN(file, ReadConfigFile(flags.config_file));
  }
  ServerOptions options = MergeOptions(file, flags.overrides);
  if (options.model_root.empty()) {
    return absl::InvalidArgumentError("--model_root, or model_root in --config, is required");
  }
  ILF_RETURN_IF_ERROR(CheckServerTls(options.tls).status());
  return options;
}

CreateEngineOptions EngineOptionsFrom(const ServerOptions& options) {
  CreateEngineOptions result;
  result.model_root = options.model_root;
  result.devices = options.devices;
  result.threads_per_worker = options.threads_per_worker;
  result.dtype = options.dtype;
  result.finisher_threads = options.finisher_threads;
  result.prompt_cache_bytes = int64_t{options.prompt_cache_mib} << 20;
  result.engine.admission.max_images = options.max_queued_images;
  result.engine.batching.max_batch_rows = options.max_batch_rows;
  result.engine.batching.max_batch_tokens = options.max_batch_tokens;
  result.engine.worker.max_active_images = options.max_active_images;
  result.engine.watchdog_timeout = options.watchdog_timeout;
  return result;
}

void StartLogging(const std::string& level) {
  spdlog::set_default_logger(spdlog::stderr_color_mt("ilf"));
  spdlog::set_pattern("%Y-%m-%dT%H:%M:%S.%e%z %^%l%$ %v");
  spdlog::set_level(spdlog::level::from_str(level));
}

absl::Status WritePortFile(const std::string& path, const Server& server) {
  if (path.empty()) return absl::OkStatus();
  std::ofstream file(path);
  file << absl::StrCat("address=", server.address(), "\nmetrics_address=", server.metrics_address(),
                       "\nhealth_address=", server.health_address(), "\n")
       << std::flush;
  if (file) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat(path, ": cannot write the port file"));
}

void LogModels(const Engine& engine) {
  for (const ModelInfo& model : engine.Models()) {
    spdlog::info("serving model {} ({}, {}, {}x{})", model.name, model.architecture, model.dtype,
                 model.default_size.width, model.default_size.height);
  }
}

int Run(const Flags& flags, const ServerOptions& options) {
  ShutdownSignal shutdown;
  StartLogging(options.log_level);
  absl::StatusOr<std::unique_ptr<Server>> server = Server::Start(options, SystemClock());
  if (!server.ok()) return Fail(kExitCannotStart, server.status());
  spdlog::info("ilf-server {} listens on {}", Version(), (*server)->address());
  if (!(*server)->metrics_address().empty()) {
    spdlog::info("metrics on http://{}/metrics", (*server)->metrics_address());
  }
  if (!(*server)->health_address().empty()) {
    spdlog::info("health checks in plain text on {}", (*server)->health_address());
  }
  if (absl::Status status = WritePortFile(flags.port_file, **server); !status.ok()) {
    return Fail(kExitCannotStart, status);
  }

  spdlog::info("loading models from {} for {}", options.model_root,
               absl::StrJoin(options.devices, ","));
  const absl::StatusOr<std::unique_ptr<Engine>> engine =
      CreateEngine(EngineOptionsFrom(options), (*server)->observer());
  if (!engine.ok()) return Fail(kExitCannotStart, engine.status());
  LogModels(**engine);

  shutdown.BeginServing();
  (*server)->Serve(engine->get());
  spdlog::info("SERVING");
  const std::string signal = shutdown.Wait();
  spdlog::info("{}: refusing new requests, finishing what runs within {}", signal,
               absl::FormatDuration(options.drain_timeout));
  (*server)->Drain(absl::Now() + options.drain_timeout);
  spdlog::info("stopped");
  return EXIT_SUCCESS;
}

int Main(int argc, char** argv) {
  const absl::StatusOr<Flags> flags = ParseFlags(argc, argv);
  if (!flags.ok()) return Fail(kExitBadUsage, flags.status());
  if (flags->show.has_value()) {
    std::fputs(flags->show->c_str(), stdout);
    return EXIT_SUCCESS;
  }
  const absl::StatusOr<ServerOptions> options = ReadOptions(*flags);
  if (!options.ok()) return Fail(kExitBadUsage, options.status());
  if (flags->check_config) return EXIT_SUCCESS;
  // gRPC would log its own lines beside ours; we report what matters.
  setenv("GRPC_VERBOSITY", "NONE", /*overwrite=*/0);
  return Run(*flags, *options);
}

}  // namespace
}  // namespace ilf

int main(int argc, char** argv) { return ilf::Main(argc, argv); }
