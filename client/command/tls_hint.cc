#include "client/command/tls_hint.h"

#include <initializer_list>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/string_view.h"

namespace ilf {
namespace {

// Words in lower case; OpenSSL writes them with spaces, BoringSSL with underscores.
bool Says(const absl::Status& call, std::initializer_list<absl::string_view> words) {
  const std::string message = absl::AsciiStrToLower(call.message());
  for (const absl::string_view word : words) {
    if (absl::StrContains(message, word)) return true;
  }
  return false;
}

}  // namespace

std::string TlsHint(const absl::Status& call, const Connection& connection) {
  if (!absl::IsUnavailable(call)) return "";
  if (Says(call, {"connection refused", "dns resolution", "no route"})) return "";
  if (connection.tls) {
    if (Says(call, {"wrong version number", "wrong_version_number", "packet length too long"})) {
      return "the server speaks plain text there: leave the --tls flags out, or ask for its TLS "
             "port";
    }
    if (Says(call, {"certificate verify failed", "certificate_verify_failed"})) {
      return "the server's certificate is not signed by an authority of --tls_ca, or is expired";
    }
    if (Says(call, {"hostname verification", "name check failed", "peer name"})) {
      return "the server's certificate is for another name: give --address the name in it";
    }
  }
  // Closed without a word.
  if (!Says(call, {"socket closed", "connection reset", "broken pipe", "end of tcp stream", "eof",
                   "handshake", "parse", "alert"})) {
    return "";
  }
  if (!connection.tls) {
    return "the server may speak TLS: give --tls_ca FILE with the authority of its certificate, or "
           "--tls";
  }
  if (!connection.tls_cert) {
    return "the server may want a certificate of you: give --tls_cert FILE and --tls_key FILE; or "
           "it speaks plain text: leave the --tls flags out";
  }
  return "the server may not accept the certificate in --tls_cert: is it expired, or signed by an "
         "authority that is not in the server's --tls_client_ca?";
}

}  // namespace ilf
