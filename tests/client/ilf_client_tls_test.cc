// The ilf-client executable and TLS: what it connects to, and what it says where it does not.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/client/run_client.h"
#include "tests/client/scripted_server.h"
#include "tests/testing/certificates.h"
#include "tls/credentials.h"

namespace ilf {
namespace {

using ::grpc::health::v1::HealthCheckResponse;
using ::testing::HasSubstr;

class IlfClientTlsTest : public ::testing::Test {
 protected:
  IlfClientTlsTest() {
    const Identity server = authority_.Issue();
    const Identity client = authority_.Issue();
    const Identity stranger = other_authority_.Issue();
    files_.Replace({{"ca", authority_.cert()},
                    {"other_ca", other_authority_.cert()},
                    {"cert", server.cert},
                    {"key", server.key},
                    {"client_cert", client.cert},
                    {"client_key", client.key},
                    {"stranger_cert", stranger.cert},
                    {"stranger_key", stranger.key}});
  }

  std::string Path(const std::string& name) const { return files_.Path(name); }

  std::shared_ptr<grpc::ServerCredentials> Tls() const {
    return ServerTlsCredentials({Path("cert"), Path("key"), ""}, kTlsRefreshInterval);
  }
  std::shared_ptr<grpc::ServerCredentials> MutualTls() const {
    return ServerTlsCredentials({Path("cert"), Path("key"), Path("ca")}, kTlsRefreshInterval);
  }

  // ilf-client health with more flags, against a server that serves. Long enough for slow machines:
  // what is tested is never that it waits.
  static Outcome Health(const std::shared_ptr<grpc::ServerCredentials>& credentials,
                        std::vector<std::string> flags) {
    ScriptedServer server(credentials);
    server.health.statuses = {{"", HealthCheckResponse::SERVING}};
    flags.insert(flags.begin(), {"health", "--timeout", "60s", "--address", server.address()});
    return RunClient(flags, ::testing::TempDir());
  }

  const CertificateAuthority authority_;
  const CertificateAuthority other_authority_{"Other CA"};
  SecretFolder files_;
};

TEST_F(IlfClientTlsTest, SpeaksTls) {
  const Outcome outcome = Health(Tls(), {"--tls_ca", Path("ca")});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_EQ(outcome.out, "SERVING\n");
}

TEST_F(IlfClientTlsTest, SpeaksMutualTls) {
  const Outcome outcome = Health(
      MutualTls(),
      {"--tls_ca", Path("ca"), "--tls_cert", Path("client_cert"), "--tls_key", Path("client_key")});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
}

TEST_F(IlfClientTlsTest, PlainTextToATlsServerSaysWhichFlagIsMissing) {
  const Outcome outcome = Health(Tls(), {});
  EXPECT_EQ(outcome.exit_code, 4);
  EXPECT_THAT(outcome.err, HasSubstr("the server may speak TLS: give --tls_ca FILE"))
      << outcome.err;
}

TEST_F(IlfClientTlsTest, TlsToAPlainTextServerSaysWhichFlagIsTooMuch) {
  const Outcome outcome = Health(grpc::InsecureServerCredentials(), {"--tls_ca", Path("ca")});
  EXPECT_EQ(outcome.exit_code, 4);
  EXPECT_THAT(outcome.err, HasSubstr("plain text")) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("leave the --tls flags out"));
  EXPECT_THAT(outcome.err, ::testing::StartsWith("error: UNAVAILABLE: "));  // no lines of gRPC's
}

TEST_F(IlfClientTlsTest, AServerOfAnotherAuthorityIsNotTrusted) {
  const Outcome outcome = Health(Tls(), {"--tls_ca", Path("other_ca")});
  EXPECT_EQ(outcome.exit_code, 4);
  EXPECT_THAT(outcome.err, HasSubstr("not signed by an authority of --tls_ca, or is expired"))
      << outcome.err;
}

TEST_F(IlfClientTlsTest, AServerThatTheSystemDoesNotKnowIsNotTrusted) {
  const Outcome outcome = Health(Tls(), {"--tls"});
  EXPECT_EQ(outcome.exit_code, 4);
  EXPECT_EQ(outcome.out, "");
}

TEST_F(IlfClientTlsTest, AServerThatWantsACertificateIsGuessedFromTheClosedConnection) {
  const Outcome outcome = Health(MutualTls(), {"--tls_ca", Path("ca")});
  EXPECT_EQ(outcome.exit_code, 4);
  EXPECT_THAT(outcome.err, HasSubstr("give --tls_cert FILE and --tls_key FILE")) << outcome.err;
}

TEST_F(IlfClientTlsTest, AServerThatRefusesTheCertificateIsGuessedFromTheClosedConnection) {
  const Outcome outcome =
      Health(MutualTls(), {"--tls_ca", Path("ca"), "--tls_cert", Path("stranger_cert"), "--tls_key",
                           Path("stranger_key")});
  EXPECT_EQ(outcome.exit_code, 4);
  EXPECT_THAT(outcome.err, HasSubstr("may not accept the certificate in --tls_cert"))
      << outcome.err;
}

TEST_F(IlfClientTlsTest, FilesThatDoNotFitAreNamedBeforeAnythingIsSent) {
  const auto run = [](std::vector<std::string> flags) {
    flags.insert(flags.begin(), {"models", "--address", "127.0.0.1:1"});
    return RunClient(flags, ::testing::TempDir());
  };
  const Outcome key = run({"--tls_key", Path("key")});
  EXPECT_EQ(key.exit_code, 2);
  EXPECT_THAT(key.err, HasSubstr("--tls_cert: missing: --tls_key needs the key's certificate"));
  const Outcome mixed = run({"--tls_cert", Path("cert"), "--tls_key", Path("client_key")});
  EXPECT_EQ(mixed.exit_code, 2);
  EXPECT_THAT(mixed.err, HasSubstr("is not the key of the certificate in"));
  const Outcome absent = run({"--tls_ca", "/nowhere/ca.pem"});
  EXPECT_EQ(absent.exit_code, 2);
  EXPECT_THAT(absent.err, HasSubstr("--tls_ca: cannot read /nowhere/ca.pem: No such file"));
}

}  // namespace
}  // namespace ilf
