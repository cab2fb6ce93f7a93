#include "tls/credentials.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "grpcpp/security/tls_certificate_provider.h"
#include "grpcpp/security/tls_credentials_options.h"

namespace ilf {
namespace {

using grpc::experimental::CertificateProviderInterface;
using grpc::experimental::FileWatcherCertificateProvider;
using grpc::experimental::TlsChannelCredentialsOptions;
using grpc::experimental::TlsServerCredentialsOptions;
using ProviderPtr = std::shared_ptr<CertificateProviderInterface>;

ProviderPtr Watch(const TlsFiles& files, absl::Duration refresh_interval) {
  const int64_t seconds = absl::ToInt64Seconds(absl::Ceil(refresh_interval, absl::Seconds(1)));
  return std::make_shared<FileWatcherCertificateProvider>(
      files.key, files.cert, files.ca, static_cast<unsigned>(std::max<int64_t>(1, seconds)));
}

// Newer gRPC takes a provider for each purpose, and deprecates the calls of older ones. Templates,
// so that what the installed gRPC lacks is never compiled.
template <typename Options>
Options MakeServerOptions(const ProviderPtr& provider) {
  if constexpr (requires { Options::Create(provider); }) {
    return *Options::Create(provider);
  } else {
    Options options(provider);
    options.watch_identity_key_cert_pairs();
    return options;
  }
}

template <typename Options>
void ShowIdentity(const ProviderPtr& provider, Options* options) {
  if constexpr (requires { options->set_identity_certificate_provider(provider); }) {
    options->set_identity_certificate_provider(provider);
  } else {
    options->set_certificate_provider(provider);
    options->watch_identity_key_cert_pairs();
  }
}

template <typename Options>
void TrustAuthorities(const ProviderPtr& provider, Options* options) {
  if constexpr (requires { options->set_root_certificate_provider(provider); }) {
    options->set_root_certificate_provider(provider);
  } else {
    options->set_certificate_provider(provider);
    options->watch_root_certs();
  }
}

}  // namespace

std::shared_ptr<grpc::ServerCredentials> ServerTlsCredentials(const TlsFiles& files,
                                                              absl::Duration refresh_interval) {
  const ProviderPtr provider = Watch(files, refresh_interval);
  auto options = MakeServerOptions<TlsServerCredentialsOptions>(provider);
  if (!files.ca.empty()) {
    TrustAuthorities(provider, &options);
    options.set_cert_request_type(GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  }
  return grpc::experimental::TlsServerCredentials(options);
}

std::shared_ptr<grpc::ChannelCredentials> ClientTlsCredentials(const TlsFiles& files,
                                                               absl::Duration refresh_interval) {
  TlsChannelCredentialsOptions options;
  if (!files.ca.empty() || !files.cert.empty()) {
    const ProviderPtr provider = Watch(files, refresh_interval);
    if (!files.ca.empty()) TrustAuthorities(provider, &options);
    if (!files.cert.empty()) ShowIdentity(provider, &options);
  }
  return grpc::experimental::TlsCredentials(options);
}

}  // namespace ilf
