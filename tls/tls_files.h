// The PEM files of one side of a TLS connection, and whether they fit together.
#pragma once

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace ilf {

struct TlsFiles {
  std::string cert;  // this side's certificate, the intermediate ones after it; "" = none
  std::string key;   // private key of `cert`, without a passphrase; "" = none
  std::string ca;    // authorities that sign the other side's certificates; "" = none named
};

struct TlsCertificate {
  std::string subject;  // "CN=example.com", as RFC 2253 writes it
  absl::Time not_before;
  absl::Time not_after;
};

// Reads the files and checks that they hold what they should and belong together: a certificate has
// its key, and a key its certificate. nullopt where there is no certificate. INVALID_ARGUMENT has a
// line for every mistake, which begins with the flag it is about: "--tls_cert", "--tls_key" or
// `ca_flag`. An expired certificate is no mistake: it may be renewed in place.
absl::StatusOr<std::optional<TlsCertificate>> CheckTlsFiles(const TlsFiles& files,
                                                            absl::string_view ca_flag);

}  // namespace ilf
