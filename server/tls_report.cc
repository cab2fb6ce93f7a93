#include "server/tls_report.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "spdlog/spdlog.h"

namespace ilf {
namespace {

// A certificate is renewed long before this, unless what renews it is broken.
constexpr absl::Duration kSoon = absl::Hours(24 * 3);

}  // namespace

TlsReport::TlsReport(const ServerOptions& options, std::optional<TlsCertificate> certificate,
                     ServerMetrics* metrics, absl::Time now)
    : files_(options.tls), refresh_interval_(options.tls_refresh_interval), metrics_(metrics) {
  if (!certificate.has_value()) {
    spdlog::info("TLS: off, gRPC is plain text");
    return;
  }
  if (files_.ca.empty()) {
    spdlog::info("TLS: on, clients need no certificate");
  } else {
    spdlog::info("mutual TLS: on, clients need a certificate signed by {}", files_.ca);
  }
  ShowCertificate(*certificate, now);
  certificate_ = std::move(certificate);
  next_look_ = now + refresh_interval_;
}

void TlsReport::Refresh(absl::Time now) {
  if (now < next_look_) return;
  next_look_ = now + refresh_interval_;
  absl::StatusOr<std::optional<TlsCertificate>> found = CheckServerTls(files_);
  if (!found.ok()) {
    const std::string problem =
        absl::StrReplaceAll(std::string(found.status().message()), {{"\n", "; "}});
    if (problem != problem_) {
      spdlog::error("TLS: new connections may fail until this is mended: {}", problem);
    }
    problem_ = problem;
    return;
  }
  const TlsCertificate& now_there = **found;
  const bool renewed = now_there.not_before != certificate_->not_before ||
                       now_there.not_after != certificate_->not_after ||
                       now_there.subject != certificate_->subject;
  if (renewed || !problem_.empty()) {
    problem_.clear();
    ShowCertificate(now_there, now);
    certificate_ = now_there;
  }
}

void TlsReport::ShowCertificate(const TlsCertificate& certificate, absl::Time now) {
  metrics_->TlsCertificateExpires(certificate.not_after);
  const std::string text =
      absl::StrCat("TLS: certificate of ", certificate.subject, " in ", files_.cert,
                   ", valid from ", absl::FormatTime(certificate.not_before, absl::UTCTimeZone()),
                   " to ", absl::FormatTime(certificate.not_after, absl::UTCTimeZone()));
  if (now > certificate.not_after) {
    spdlog::error("{}: it has expired, and clients refuse it", text);
  } else if (now < certificate.not_before) {
    spdlog::error("{}: it is not valid yet, and clients refuse it", text);
  } else if (now + kSoon > certificate.not_after) {
    spdlog::warn("{}: it expires soon", text);
  } else {
    spdlog::info("{}", text);
  }
}

}  // namespace ilf
