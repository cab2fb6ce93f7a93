// What the log and the metrics say about the TLS of the gRPC port.
#pragma once

#include <optional>
#include <string>

#include "absl/time/time.h"
#include "server/metrics.h"
#include "server/server_options.h"
#include "tls/tls_files.h"

namespace ilf {

// gRPC takes renewed files up on its own and says nothing; this looks at them too. Not thread-safe.
class TlsReport {
 public:
  // `metrics` outlives it. Logs the mode, and the certificate, which CheckServerTls has found; none
  // is plain text.
  TlsReport(const ServerOptions& options, std::optional<TlsCertificate> certificate,
            ServerMetrics* metrics, absl::Time now);

  // Looks at the files when it is time, and logs what has changed: a renewed certificate, or one
  // that breaks every new connection.
  void Refresh(absl::Time now);

 private:
  void ShowCertificate(const TlsCertificate& certificate, absl::Time now);

  const TlsFiles files_;
  const absl::Duration refresh_interval_;
  ServerMetrics* const metrics_;
  std::optional<TlsCertificate> certificate_;  // the last good one
  std::string problem_;                        // "" = none
  absl::Time next_look_ = absl::InfiniteFuture();
};

}  // namespace ilf
