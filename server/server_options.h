// Everything about the server that an operator can set, with defaults and units.
//
// A configuration file and the flags are the same message, ilf.config.v1.ServerConfig, checked by
// the same rules; a flag overrides the file.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ilf/config/v1/server_config.pb.h"
#include "tls/credentials.h"
#include "tls/tls_files.h"

namespace ilf {

// The metrics address of a server without metrics.
inline constexpr char kNoMetrics[] = "none";

// The health address of a server without a port for health checks alone.
inline constexpr char kNoHealthPort[] = "none";

// The default values are repeated for operators in proto/ilf/config/v1/server_config.proto.
struct ServerOptions {
  std::string model_root;
  std::string address = "127.0.0.1:50051";
  std::string metrics_address = "127.0.0.1:9464";  // or "none"
  std::string health_address = kNoHealthPort;

  absl::Duration max_connection_age = absl::ZeroDuration();  // 0 = no limit

  TlsFiles tls;  // no cert: plain text
  absl::Duration tls_refresh_interval = kTlsRefreshInterval;

  std::vector<std::string> devices = {"cpu"};
  int threads_per_worker = 0;  // 0 = the cores shared out evenly
  std::string dtype = "auto";

  int max_queued_images = 256;
  int max_batch_rows = 32;
  int max_batch_tokens = 32768;
  int max_active_images = 16;  // per worker
  absl::Duration watchdog_timeout = absl::Minutes(2);
  int finisher_threads = 0;  // 0 = by the devices (CreateEngineOptions)
  int prompt_cache_mib = 256;

  absl::Duration write_stall_timeout = absl::Seconds(30);
  int64_t max_stream_bytes = 64 << 20;

  absl::Duration drain_timeout = absl::Seconds(30);
  std::string log_level = "info";
};

// One broken rule of a ServerConfig.
struct ConfigViolation {
  std::vector<std::string> field;  // names from the root: {"batching", "max_batch_rows"}
  int index = -1;                  // of the last field, when it is repeated
  std::string description;         // the limit, and what was given
};

// Every rule that `config` breaks, in the order of the .proto.
std::vector<ConfigViolation> CheckConfig(const config::v1::ServerConfig& config);

// The flag that names the authorities of clients, TlsFiles::ca.
inline constexpr char kClientAuthoritiesFlag[] = "--tls_client_ca";

// The TLS files of a server, checked: CheckTlsFiles, and no authorities without a certificate.
absl::StatusOr<std::optional<TlsCertificate>> CheckServerTls(const TlsFiles& files);

// Both without violations. What neither sets keeps its default.
ServerOptions MergeOptions(const config::v1::ServerConfig& file,
                           const config::v1::ServerConfig& flags);

}  // namespace ilf
