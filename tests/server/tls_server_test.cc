// TLS and mutual TLS over real connections: who gets in, who does not, and what renewed files
// change.
#include <optional>
#include <string>

#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/server/server_fixture.h"
#include "tests/testing/certificates.h"
#include "tests/testing/http_get.h"
#include "tls/credentials.h"

namespace ilf {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

const CertificateOptions kExpired = {.not_before = absl::Now() - absl::Hours(48),
                                     .not_after = absl::Now() - absl::Hours(24)};

class TlsServerTest : public ServerFixture {
 protected:
  TlsServerTest() {
    PutServer(authority_.Issue(), authority_);
    options_.tls = {server_files_.Path("cert"), server_files_.Path("key"), ""};
    options_.tls_refresh_interval = absl::Seconds(1);
  }

  // The files of the server; it trusts clients of `client_authority` where it asks for any.
  void PutServer(const Identity& identity, const CertificateAuthority& client_authority) {
    server_files_.Replace(
        {{"cert", identity.cert}, {"key", identity.key}, {"ca", client_authority.cert()}});
  }

  void StartTls() { StartServing(options_); }
  void StartMutualTls() {
    options_.tls.ca = server_files_.Path("ca");
    StartServing(options_);
  }

  // The stub of a client with a connection of its own.
  static std::unique_ptr<v1::ImageGenerationService::Stub> Connect(
      const std::string& address, const std::shared_ptr<grpc::ChannelCredentials>& credentials) {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    return v1::ImageGenerationService::NewStub(
        grpc::CreateCustomChannel(address, credentials, arguments));
  }

  // A client that trusts `authority`, and shows `identity` where there is one.
  std::shared_ptr<grpc::ChannelCredentials> Credentials(
      const CertificateAuthority& authority, const std::optional<Identity>& identity = {}) {
    if (!identity.has_value()) {
      client_files_.Replace({{"ca", authority.cert()}});
      return ClientTlsCredentials({"", "", client_files_.Path("ca")}, kTlsRefreshInterval);
    }
    client_files_.Replace(
        {{"ca", authority.cert()}, {"cert", identity->cert}, {"key", identity->key}});
    return ClientTlsCredentials(
        {client_files_.Path("cert"), client_files_.Path("key"), client_files_.Path("ca")},
        kTlsRefreshInterval);
  }

  grpc::Status Call(const std::shared_ptr<grpc::ChannelCredentials>& credentials) {
    return CallWith(*Connect(server_->address(), credentials));
  }

  static grpc::Status CallWith(v1::ImageGenerationService::Stub& stub) {
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(absl::Now() + absl::Minutes(1)));
    v1::ListModelsResponse response;
    return stub.ListModels(&context, {}, &response);
  }

  // Whether a new connection comes to `ok` within a minute: the files are looked at every second.
  bool ComesTo(bool ok, const std::shared_ptr<grpc::ChannelCredentials>& credentials) {
    const absl::Time deadline = absl::Now() + absl::Minutes(1);
    while (Call(credentials).ok() != ok) {
      if (absl::Now() > deadline) return false;
      absl::SleepFor(absl::Milliseconds(20));
    }
    return true;
  }

  const CertificateAuthority authority_;
  const CertificateAuthority other_authority_{"Other CA"};
  SecretFolder server_files_{"server"};
  SecretFolder client_files_{"client"};
  ServerOptions options_ = DefaultOptions();
};

TEST_F(TlsServerTest, ServesAClientThatTrustsItsAuthority) {
  StartTls();
  const grpc::Status status = Call(Credentials(authority_));
  EXPECT_TRUE(status.ok()) << status.error_message();
}

TEST_F(TlsServerTest, StreamsOverTls) {
  StartTls();
  const auto stub = Connect(server_->address(), Credentials(authority_));
  grpc::ClientContext context;
  const Stream stream = stub->Generate(&context, BagRequest());
  const auto submission = engine_.AwaitSubmission();
  ImageEvent image;
  image.image = {ImageFormat::kPng, 64, 64, std::string(600'000, 'i')};
  submission.sink->OnEvent(image);
  submission.sink->OnEvent(CompletedEvent{});
  engine_.End(submission, absl::OkStatus());
  EXPECT_EQ(ReadAll(stream).size(), 4u);  // three chunks
  EXPECT_TRUE(stream->Finish().ok());
}

TEST_F(TlsServerTest, AClientWithAnotherAuthorityDoesNotTrustIt) {
  StartTls();
  EXPECT_EQ(Call(Credentials(other_authority_)).error_code(), grpc::StatusCode::UNAVAILABLE);
}

TEST_F(TlsServerTest, AClientDoesNotTrustAnExpiredCertificate) {
  PutServer(authority_.Issue(kExpired), authority_);
  StartTls();
  EXPECT_EQ(Call(Credentials(authority_)).error_code(), grpc::StatusCode::UNAVAILABLE);
}

TEST_F(TlsServerTest, PlainTextAgainstATlsPortIsUnavailable) {
  StartTls();
  EXPECT_EQ(Call(grpc::InsecureChannelCredentials()).error_code(), grpc::StatusCode::UNAVAILABLE);
}

TEST_F(TlsServerTest, TlsAgainstAPlainTextPortIsUnavailable) {
  StartServing();
  EXPECT_EQ(Call(Credentials(authority_)).error_code(), grpc::StatusCode::UNAVAILABLE);
}

TEST_F(TlsServerTest, MutualTlsLetsIn) {
  StartMutualTls();
  const grpc::Status status = Call(Credentials(authority_, authority_.Issue({.name = "client"})));
  EXPECT_TRUE(status.ok()) << status.error_message();
}

TEST_F(TlsServerTest, MutualTlsKeepsOut) {
  StartMutualTls();
  for (const auto& identity : {std::optional<Identity>(), std::optional(other_authority_.Issue()),
                               std::optional(authority_.Issue(kExpired))}) {
    EXPECT_EQ(Call(Credentials(authority_, identity)).error_code(), grpc::StatusCode::UNAVAILABLE);
  }
  EXPECT_EQ(Call(grpc::InsecureChannelCredentials()).error_code(), grpc::StatusCode::UNAVAILABLE);
}

TEST_F(TlsServerTest, TheHealthPortSpeaksPlainTextBesideTls) {
  options_.health_address = "127.0.0.1:0";
  StartMutualTls();
  const auto health = grpc::health::v1::Health::NewStub(
      grpc::CreateChannel(server_->health_address(), grpc::InsecureChannelCredentials()));
  grpc::ClientContext context;
  grpc::health::v1::HealthCheckRequest request;
  request.set_service("readiness");
  grpc::health::v1::HealthCheckResponse response;
  ASSERT_TRUE(health->Check(&context, request, &response).ok());
  EXPECT_EQ(response.status(), grpc::health::v1::HealthCheckResponse::SERVING);
}

TEST_F(TlsServerTest, ARenewedCertificateIsTakenUpAndStreamsGoOn) {
  StartTls();
  const auto old_client = Credentials(authority_);
  const auto stub = Connect(server_->address(), old_client);
  grpc::ClientContext context;
  const Stream stream = stub->Generate(&context, BagRequest());
  const auto submission = engine_.AwaitSubmission();

  // Of another authority, so that who connects tells which certificate was shown.
  SecretFolder other_files("other");
  other_files.Replace({{"ca", other_authority_.cert()}});
  const auto new_client =
      ClientTlsCredentials({"", "", other_files.Path("ca")}, kTlsRefreshInterval);
  EXPECT_FALSE(Call(new_client).ok());
  PutServer(other_authority_.Issue(), authority_);
  EXPECT_TRUE(ComesTo(true, new_client));
  EXPECT_FALSE(Call(old_client).ok());

  submission.sink->OnEvent(CompletedEvent{});
  engine_.End(submission, absl::OkStatus());
  EXPECT_EQ(ReadAll(stream).size(), 1u);
  EXPECT_TRUE(stream->Finish().ok());
}

TEST_F(TlsServerTest, ARenewedAuthorityOfClientsIsTakenUp) {
  StartMutualTls();
  const auto client = Credentials(authority_, authority_.Issue());
  EXPECT_TRUE(Call(client).ok());
  PutServer(authority_.Issue(), other_authority_);
  EXPECT_TRUE(ComesTo(false, client));
  PutServer(authority_.Issue(), authority_);
  EXPECT_TRUE(ComesTo(true, client));
}

TEST_F(TlsServerTest, AClientTakesItsRenewedCertificateUp) {
  StartMutualTls();
  Credentials(authority_, authority_.Issue(kExpired));  // puts the files
  const auto client = ClientTlsCredentials(
      {client_files_.Path("cert"), client_files_.Path("key"), client_files_.Path("ca")},
      absl::Seconds(1));
  EXPECT_FALSE(Call(client).ok());
  Credentials(authority_, authority_.Issue());
  EXPECT_TRUE(ComesTo(true, client));
}

TEST_F(TlsServerTest, ABrokenPairOnDiskIsOvercomeByTheNext) {
  StartTls();
  const auto client = Credentials(authority_);
  EXPECT_TRUE(Call(client).ok());
  PutServer({authority_.Issue().cert, authority_.Issue().key}, authority_);
  EXPECT_TRUE(ComesTo(false, client));
  PutServer(authority_.Issue(), authority_);
  EXPECT_TRUE(ComesTo(true, client));
}

TEST_F(TlsServerTest, FilesThatVanishLeaveTheCertificateInPlace) {
  StartTls();
  const auto client = Credentials(authority_);
  server_files_.Replace({});
  EXPECT_TRUE(Call(client).ok());
}

TEST_F(TlsServerTest, ShowsWhenTheCertificateExpires) {
  PutServer(authority_.Issue({.not_after = absl::FromUnixSeconds(3'000'000'000)}), authority_);
  options_.metrics_address = "127.0.0.1:0";
  StartTls();
  EXPECT_THAT(HttpGet(server_->metrics_address(), "/metrics"),
              HasSubstr("ilf_tls_certificate_expiration_timestamp_seconds 3000000000"));
}

TEST_F(TlsServerTest, DoesNotStartWithFilesThatDoNotFit) {
  PutServer({authority_.Issue().cert, authority_.Issue().key}, authority_);
  const auto server = Server::Start(options_, SystemClock());
  EXPECT_EQ(server.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(server.status().message()),
              StartsWith("--tls_key: " + options_.tls.key + " is not the key of"));
}

}  // namespace
}  // namespace ilf
