#include "server/server_options.h"

#include <algorithm>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "server/duration_conversion.h"

namespace ilf {
namespace {

using config::v1::ServerConfig;

constexpr int kMaxBatchTokens = 1 << 24;

bool IsHostPort(absl::string_view address) {
  const size_t colon = address.rfind(':');
  if (colon == 0 || colon == absl::string_view::npos) return false;
  int port = 0;
  const absl::string_view digits = address.substr(colon + 1);
  return digits.find_first_not_of("0123456789") == absl::string_view::npos &&
         absl::SimpleAtoi(digits, &port) && port <= 65535;
}

bool IsDevice(absl::string_view device) {
  if (device == "cpu") return true;
  int index = 0;
  return absl::ConsumePrefix(&device, "cuda:") && !device.empty() &&
         device.find_first_not_of("0123456789") == absl::string_view::npos &&
         absl::SimpleAtoi(device, &index) && index < 1024;
}

class Checker {
 public:
  void Address(std::vector<std::string> field, const std::string& address) {
    if (IsHostPort(address)) return;
    Add(std::move(field), -1, absl::StrCat("must be HOST:PORT, is '", address, "'"));
  }

  void Device(int index, const std::string& device) {
    if (IsDevice(device)) return;
    Add({"device"}, index, absl::StrCat("must be cpu or cuda:N, is '", device, "'"));
  }

  void File(const std::string& field, bool set, const std::string& path) {
    if (set && path.empty()) Add({field}, -1, "must name a file, is ''");
  }

  void WholeSeconds(const std::string& field, const google::protobuf::Duration& value) {
    if (value.nanos() == 0) return;
    Add({field}, -1,
        absl::StrCat("must be whole seconds, is ", absl::FormatDuration(FromProto(value))));
  }

  void OneOf(std::vector<std::string> field, bool set, const std::string& value,
             const std::vector<std::string>& names) {
    if (!set || std::count(names.begin(), names.end(), value) > 0) return;
    Add(std::move(field), -1,
        absl::StrCat("must be one of ", absl::StrJoin(names, ", "), ", is '", value, "'"));
  }

  void Range(std::vector<std::string> field, bool set, int64_t value, int64_t min, int64_t max) {
    if (!set || (value >= min && value <= max)) return;
    Add(std::move(field), -1, absl::StrCat("must lie between ", min, " and ", max, ", is ", value));
  }

  void Range(std::vector<std::string> field, bool set, const google::protobuf::Duration& value,
             absl::Duration min, absl::Duration max) {
    const absl::Duration duration = FromProto(value);
    if (!set || (duration >= min && duration <= max)) return;
    Add(std::move(field), -1,
        absl::StrCat("must lie between ", absl::FormatDuration(min), " and ",
                     absl::FormatDuration(max), ", is ", absl::FormatDuration(duration)));
  }

  std::vector<ConfigViolation> Take() { return std::move(violations_); }

 private:
  void Add(std::vector<std::string> field, int index, std::string description) {
    violations_.push_back({std::move(field), index, std::move(description)});
  }

  std::vector<ConfigViolation> violations_;
};

void ApplyBatching(const config::v1::Batching& batching, ServerOptions* options) {
  if (batching.has_max_queued_images()) options->max_queued_images = batching.max_queued_images();
  if (batching.has_max_batch_rows()) options->max_batch_rows = batching.max_batch_rows();
  if (batching.has_max_batch_tokens()) options->max_batch_tokens = batching.max_batch_tokens();
  if (batching.has_max_active_images()) options->max_active_images = batching.max_active_images();
  if (batching.has_watchdog_timeout()) {
    options->watchdog_timeout = FromProto(batching.watchdog_timeout());
  }
  if (batching.has_finisher_threads()) options->finisher_threads = batching.finisher_threads();
  if (batching.has_prompt_cache_mib()) options->prompt_cache_mib = batching.prompt_cache_mib();
}

void ApplyStreaming(const config::v1::Streaming& streaming, ServerOptions* options) {
  if (streaming.has_write_stall_timeout()) {
    options->write_stall_timeout = FromProto(streaming.write_stall_timeout());
  }
  if (streaming.has_max_stream_bytes()) options->max_stream_bytes = streaming.max_stream_bytes();
}

void ApplyTls(const ServerConfig& config, ServerOptions* options) {
  options->tls = {config.tls_cert(), config.tls_key(), config.tls_client_ca()};
  if (config.has_tls_refresh_interval()) {
    options->tls_refresh_interval = FromProto(config.tls_refresh_interval());
  }
}

}  // namespace

std::vector<ConfigViolation> CheckConfig(const ServerConfig& config) {
  Checker check;
  if (config.has_address()) check.Address({"address"}, config.address());
  if (config.has_metrics_address() && config.metrics_address() != kNoMetrics) {
    check.Address({"metrics_address"}, config.metrics_address());
  }
  for (int i = 0; i < config.device_size(); ++i) check.Device(i, config.device(i));
  check.Range({"threads_per_worker"}, config.has_threads_per_worker(), config.threads_per_worker(),
              0, 1024);
  check.OneOf({"dtype"}, config.has_dtype(), config.dtype(), {"auto", "float32", "bfloat16"});

  const auto& batching = config.batching();
  check.Range({"batching", "max_queued_images"}, batching.has_max_queued_images(),
              batching.max_queued_images(), 1, 100'000);
  check.Range({"batching", "max_batch_rows"}, batching.has_max_batch_rows(),
              batching.max_batch_rows(), 2, 4096);
  check.Range({"batching", "max_batch_tokens"}, batching.has_max_batch_tokens(),
              batching.max_batch_tokens(), 1, kMaxBatchTokens);
  check.Range({"batching", "max_active_images"}, batching.has_max_active_images(),
              batching.max_active_images(), 1, 4096);
  check.Range({"batching", "watchdog_timeout"}, batching.has_watchdog_timeout(),
              batching.watchdog_timeout(), absl::Seconds(1), absl::Hours(1));
  check.Range({"batching", "finisher_threads"}, batching.has_finisher_threads(),
              batching.finisher_threads(), 1, 64);
  check.Range({"batching", "prompt_cache_mib"}, batching.has_prompt_cache_mib(),
              batching.prompt_cache_mib(), 0, 1 << 20);

  const auto& streaming = config.streaming();
  check.Range({"streaming", "write_stall_timeout"}, streaming.has_write_stall_timeout(),
              streaming.write_stall_timeout(), absl::Seconds(1), absl::Hours(1));
  check.Range({"streaming", "max_stream_bytes"}, streaming.has_max_stream_bytes(),
              streaming.max_stream_bytes(), 1 << 20, 1 << 30);

  check.Range({"drain_timeout"}, config.has_drain_timeout(), config.drain_timeout(),
              absl::ZeroDuration(), absl::Hours(1));
  check.OneOf({"log_level"}, config.has_log_level(), config.log_level(),
              {"debug", "info", "warning", "error"});

  if (config.has_health_address() && config.health_address() != kNoHealthPort) {
    check.Address({"health_address"}, config.health_address());
  }
  check.File("tls_cert", config.has_tls_cert(), config.tls_cert());
  check.File("tls_key", config.has_tls_key(), config.tls_key());
  check.File("tls_client_ca", config.has_tls_client_ca(), config.tls_client_ca());
  check.Range({"tls_refresh_interval"}, config.has_tls_refresh_interval(),
              config.tls_refresh_interval(), absl::Seconds(1), absl::Hours(24));
  check.WholeSeconds("tls_refresh_interval", config.tls_refresh_interval());
  check.Range({"max_connection_age"},
              config.has_max_connection_age() &&
                  FromProto(config.max_connection_age()) != absl::ZeroDuration(),
              config.max_connection_age(), absl::Seconds(1), absl::Hours(24));
  return check.Take();
}

absl::StatusOr<std::optional<TlsCertificate>> CheckServerTls(const TlsFiles& files) {
  if (!files.ca.empty() && files.cert.empty() && files.key.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(kClientAuthoritiesFlag, ": needs --tls_cert and --tls_key"));
  }
  return CheckTlsFiles(files, kClientAuthoritiesFlag);
}

ServerOptions MergeOptions(const ServerConfig& file, const ServerConfig& flags) {
  ServerConfig config = file;
  if (flags.device_size() > 0) config.clear_device();
  // A Duration is replaced as a whole: merging would add the file's nanoseconds to the flag's
  // seconds.
  if (flags.has_drain_timeout()) config.clear_drain_timeout();
  if (flags.has_tls_refresh_interval()) config.clear_tls_refresh_interval();
  if (flags.has_max_connection_age()) config.clear_max_connection_age();
  if (flags.streaming().has_write_stall_timeout()) {
    config.mutable_streaming()->clear_write_stall_timeout();
  }
  config.MergeFrom(flags);

  ServerOptions options;
  if (config.has_model_root()) options.model_root = config.model_root();
  if (config.has_address()) options.address = config.address();
  if (config.has_metrics_address()) options.metrics_address = config.metrics_address();
  if (config.device_size() > 0) {
    options.devices.assign(config.device().begin(), config.device().end());
  }
  if (config.has_threads_per_worker()) options.threads_per_worker = config.threads_per_worker();
  if (config.has_dtype()) options.dtype = config.dtype();
  ApplyBatching(config.batching(), &options);
  ApplyStreaming(config.streaming(), &options);
  if (config.has_drain_timeout()) options.drain_timeout = FromProto(config.drain_timeout());
  if (config.has_log_level()) options.log_level = config.log_level();
  if (config.has_health_address()) options.health_address = config.health_address();
  if (config.has_max_connection_age()) {
    options.max_connection_age = FromProto(config.max_connection_age());
  }
  ApplyTls(config, &options);
  return options;
}

}  // namespace ilf
