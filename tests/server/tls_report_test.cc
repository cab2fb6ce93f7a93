#include "server/tls_report.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "prometheus/text_serializer.h"
#include "tests/testing/certificates.h"
#include "tests/testing/fake_clock.h"

namespace ilf {
namespace {

using testing::HasSubstr;
using testing::Not;

class TlsReportTest : public testing::Test {
 protected:
  TlsReportTest() {
    options_.tls = {folder_.Path("cert"), folder_.Path("key"), ""};
    options_.tls_refresh_interval = absl::Seconds(10);
  }

  // A certificate that expires at `unix_seconds`.
  void Put(int64_t unix_seconds) {
    const Identity identity = authority_.Issue({.not_after = absl::FromUnixSeconds(unix_seconds)});
    folder_.Replace({{"cert", identity.cert}, {"key", identity.key}});
  }

  TlsReport Report() {
    auto certificate = CheckServerTls(options_.tls);
    EXPECT_TRUE(certificate.ok()) << certificate.status();
    return TlsReport(options_, *std::move(certificate), &metrics_, clock_.Now());
  }

  std::string Scrape() {
    return prometheus::TextSerializer().Serialize(metrics_.registry()->Collect());
  }

  const CertificateAuthority authority_;
  SecretFolder folder_;
  ServerOptions options_;
  ServerMetrics metrics_{"1"};
  FakeClock clock_;
};

constexpr char kExpiry[] = "ilf_tls_certificate_expiration_timestamp_seconds ";

TEST_F(TlsReportTest, ShowsWhenTheCertificateExpires) {
  Put(3'000'000'000);
  Report();
  EXPECT_THAT(Scrape(), HasSubstr(std::string(kExpiry) + "3000000000\n"));
}

TEST_F(TlsReportTest, PlainTextHasNoExpiry) {
  options_.tls = {};
  TlsReport report = Report();
  clock_.Advance(absl::Hours(1));
  report.Refresh(clock_.Now());
  EXPECT_THAT(Scrape(), Not(HasSubstr(kExpiry)));
}

TEST_F(TlsReportTest, FollowsARenewedCertificateAfterTheInterval) {
  Put(3'000'000'000);
  TlsReport report = Report();
  Put(4'000'000'000);
  clock_.Advance(absl::Seconds(9));
  report.Refresh(clock_.Now());
  EXPECT_THAT(Scrape(), HasSubstr(std::string(kExpiry) + "3000000000\n"));
  clock_.Advance(absl::Seconds(1));
  report.Refresh(clock_.Now());
  EXPECT_THAT(Scrape(), HasSubstr(std::string(kExpiry) + "4000000000\n"));
}

TEST_F(TlsReportTest, ABrokenPairKeepsTheOldExpiryUntilItIsMended) {
  Put(3'000'000'000);
  TlsReport report = Report();
  folder_.Replace({{"cert", authority_.Issue().cert}, {"key", authority_.Issue().key}});
  clock_.Advance(absl::Seconds(10));
  report.Refresh(clock_.Now());
  EXPECT_THAT(Scrape(), HasSubstr(std::string(kExpiry) + "3000000000\n"));
  Put(4'000'000'000);
  clock_.Advance(absl::Seconds(10));
  report.Refresh(clock_.Now());
  EXPECT_THAT(Scrape(), HasSubstr(std::string(kExpiry) + "4000000000\n"));
}

}  // namespace
}  // namespace ilf
