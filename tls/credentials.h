// gRPC credentials that follow their PEM files: new contents are used by every handshake that comes
// after they were noticed, and connections that stand are left alone.
//
// Replace a certificate and its key together: by renaming a folder or a symbolic link, as
// Kubernetes does with a mounted Secret. Of two files replaced one after the other, a pair that
// does not match may be read, and handshakes fail until the next look.
#pragma once

#include <memory>

#include "absl/time/time.h"
#include "grpcpp/security/credentials.h"
#include "grpcpp/security/server_credentials.h"
#include "tls/tls_files.h"

namespace ilf {

// How often the files are looked at, where nobody says otherwise.
inline constexpr absl::Duration kTlsRefreshInterval = absl::Minutes(1);

// Of a server, which needs `cert` and `key`. With `ca`, clients must show a certificate that it has
// signed. `refresh_interval` is rounded up to whole seconds. The files should have passed
// CheckTlsFiles: with what gRPC cannot read no handshake succeeds.
std::shared_ptr<grpc::ServerCredentials> ServerTlsCredentials(const TlsFiles& files,
                                                              absl::Duration refresh_interval);

// Of a client. Without `ca` the server's certificate must be signed by an authority that the system
// trusts; without `cert` the client shows none.
std::shared_ptr<grpc::ChannelCredentials> ClientTlsCredentials(const TlsFiles& files,
                                                               absl::Duration refresh_interval);

}  // namespace ilf
