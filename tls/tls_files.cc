#include "tls/tls_files.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <cerrno>
#include <cstring>
#include <ctime>
#include <fstream>
#include <memory>
#include <sstream>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace ilf {
namespace {

struct Free {
  void operator()(BIO* bio) const { BIO_free(bio); }
  void operator()(X509* certificate) const { X509_free(certificate); }
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};
using BioPtr = std::unique_ptr<BIO, Free>;
using CertificatePtr = std::unique_ptr<X509, Free>;
using KeyPtr = std::unique_ptr<EVP_PKEY, Free>;

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  if (file && file.peek() != std::ifstream::traits_type::eof()) text << file.rdbuf();
  if (!file.is_open() || file.bad() || !text || errno == EISDIR) {
    return absl::InvalidArgumentError(
        absl::StrCat("cannot read ", path, ": ", std::strerror(errno == 0 ? EIO : errno)));
  }
  return text.str();
}

BioPtr Memory(const std::string& text) {
  return BioPtr(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

// All certificates of a PEM file; at least one.
absl::StatusOr<std::vector<CertificatePtr>> ReadCertificates(const std::string& path) {
  const absl::StatusOr<std::string> text = ReadFile(path);
  if (!text.ok()) return text.status();
  const BioPtr bio = Memory(*text);
  std::vector<CertificatePtr> certificates;
  ERR_clear_error();
  while (X509* const next = PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr)) {
    certificates.emplace_back(next);
  }
  // The end of the file shows as an error too.
  const bool at_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
  ERR_clear_error();
  if (!at_end) {
    return absl::InvalidArgumentError(
        absl::StrCat("certificate ", certificates.size() + 1, " of ", path, " is damaged"));
  }
  if (certificates.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(path, " holds no PEM certificate"));
  }
  return certificates;
}

// Never has a passphrase to give, and tells that it was asked.
int RefusePassphrase(char* /*buffer*/, int /*size*/, int /*writing*/, void* asked) {
  *static_cast<bool*>(asked) = true;
  return -1;
}

absl::StatusOr<KeyPtr> ReadKey(const std::string& path) {
  const absl::StatusOr<std::string> text = ReadFile(path);
  if (!text.ok()) return text.status();
  bool asked = false;
  KeyPtr key(PEM_read_bio_PrivateKey(Memory(*text).get(), nullptr, RefusePassphrase, &asked));
  ERR_clear_error();
  if (key != nullptr) return key;
  return absl::InvalidArgumentError(
      absl::StrCat(path, asked ? " needs a passphrase: store the key without one"
                               : " holds no PEM private key"));
}

absl::Time TimeOf(const ASN1_TIME* time) {
  std::tm fields = {};
  if (ASN1_TIME_to_tm(time, &fields) != 1) return absl::InfinitePast();
  return absl::FromTM(fields, absl::UTCTimeZone());
}

TlsCertificate Describe(X509* certificate) {
  const BioPtr subject(BIO_new(BIO_s_mem()));
  X509_NAME_print_ex(subject.get(), X509_get_subject_name(certificate), 0, XN_FLAG_RFC2253);
  char* data = nullptr;
  const long size = BIO_get_mem_data(subject.get(), &data);  // NOLINT(google-runtime-int)
  return {std::string(data, size), TimeOf(X509_get0_notBefore(certificate)),
          TimeOf(X509_get0_notAfter(certificate))};
}

class Checker {
 public:
  std::optional<TlsCertificate> Identity(const TlsFiles& files) {
    if (files.cert.empty() && files.key.empty()) return std::nullopt;
    if (files.cert.empty()) Add("--tls_cert", "missing: --tls_key needs the key's certificate");
    if (files.key.empty()) Add("--tls_key", "missing: --tls_cert needs the certificate's key");
    if (!mistakes_.empty()) return std::nullopt;
    const auto certificates = ReadCertificates(files.cert);
    if (!certificates.ok()) Add("--tls_cert", certificates.status().message());
    const auto key = ReadKey(files.key);
    if (!key.ok()) Add("--tls_key", key.status().message());
    if (!mistakes_.empty()) return std::nullopt;
    X509* const certificate = certificates->front().get();
    const bool match = X509_check_private_key(certificate, key->get()) == 1;
    ERR_clear_error();
    if (!match) {
      Add("--tls_key", absl::StrCat(files.key, " is not the key of the certificate in ", files.cert,
                                    " (whose first certificate must be the own one)"));
    }
    return Describe(certificate);
  }

  void Authorities(absl::string_view flag, const std::string& path) {
    if (path.empty()) return;
    const auto certificates = ReadCertificates(path);
    if (!certificates.ok()) Add(flag, certificates.status().message());
  }

  absl::Status ToStatus() const {
    if (mistakes_.empty()) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrJoin(mistakes_, "\n"));
  }

 private:
  void Add(absl::string_view flag, absl::string_view description) {
    mistakes_.push_back(absl::StrCat(flag, ": ", description));
  }

  std::vector<std::string> mistakes_;
};

}  // namespace

absl::StatusOr<std::optional<TlsCertificate>> CheckTlsFiles(const TlsFiles& files,
                                                            absl::string_view ca_flag) {
  Checker check;
  std::optional<TlsCertificate> certificate = check.Identity(files);
  check.Authorities(ca_flag, files.ca);
  if (absl::Status status = check.ToStatus(); !status.ok()) return status;
  return certificate;
}

}  // namespace ilf
