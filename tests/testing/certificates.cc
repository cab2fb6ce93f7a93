#include "tests/testing/certificates.h"

#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <atomic>
#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "engine/base/check.h"
#include "tests/testing/temp_path.h"

namespace ilf {
namespace {

struct Free {
  void operator()(BIO* bio) const { BIO_free(bio); }
  void operator()(X509* certificate) const { X509_free(certificate); }
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
  void operator()(X509_EXTENSION* extension) const { X509_EXTENSION_free(extension); }
};
template <typename T>
using Ptr = std::unique_ptr<T, Free>;

template <typename Write>
std::string Pem(const Write& write) {
  const Ptr<BIO> bio(BIO_new(BIO_s_mem()));
  Check(write(bio.get()) == 1, "PEM cannot be written");
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);  // NOLINT(google-runtime-int)
  return std::string(data, size);
}

std::string Pem(X509* certificate) {
  return Pem([&](BIO* bio) { return PEM_write_bio_X509(bio, certificate); });
}

std::string Pem(EVP_PKEY* key) {
  return Pem([&](BIO* bio) {
    return PEM_write_bio_PrivateKey(bio, key, nullptr, nullptr, 0, nullptr, nullptr);
  });
}

void Extend(X509* certificate, X509* issuer, int nid, const char* value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  const Ptr<X509_EXTENSION> extension(X509V3_EXT_conf_nid(nullptr, &context, nid, value));
  Check(extension != nullptr && X509_add_ext(certificate, extension.get(), -1) == 1,
        "a certificate cannot be extended");
}

// Unsigned, without extensions.
Ptr<X509> Blank(const CertificateOptions& options, EVP_PKEY* key) {
  static std::atomic<int> serial = 1;
  Ptr<X509> certificate(X509_new());
  X509_set_version(certificate.get(), 2);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), serial++);
  ASN1_TIME_set(X509_getm_notBefore(certificate.get()), absl::ToTimeT(options.not_before));
  ASN1_TIME_set(X509_getm_notAfter(certificate.get()), absl::ToTimeT(options.not_after));
  X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate.get()), "CN", MBSTRING_UTF8,
                             reinterpret_cast<const unsigned char*>(options.name.c_str()), -1, -1,
                             0);
  X509_set_pubkey(certificate.get(), key);
  return certificate;
}

void Sign(X509* certificate, X509* issuer, EVP_PKEY* key) {
  X509_set_issuer_name(certificate, X509_get_subject_name(issuer));
  Check(X509_sign(certificate, key, EVP_sha256()) != 0, "a certificate cannot be signed");
}

}  // namespace

struct CertificateAuthority::Impl {
  explicit Impl(const std::string& name)
      : key(EVP_EC_gen("P-256")), cert(Blank({.name = name}, key.get())) {
    Extend(cert.get(), cert.get(), NID_basic_constraints, "critical,CA:TRUE");
    Extend(cert.get(), cert.get(), NID_key_usage, "critical,keyCertSign,cRLSign");
    Extend(cert.get(), cert.get(), NID_subject_key_identifier, "hash");
    Sign(cert.get(), cert.get(), key.get());
  }

  const Ptr<EVP_PKEY> key;
  const Ptr<X509> cert;
};

CertificateAuthority::CertificateAuthority(const std::string& name)
    : impl_(std::make_unique<Impl>(name)), cert_(Pem(impl_->cert.get())) {}

CertificateAuthority::~CertificateAuthority() = default;

Identity CertificateAuthority::Issue(const CertificateOptions& options) const {
  const Ptr<EVP_PKEY> key(EVP_EC_gen("P-256"));
  const Ptr<X509> certificate = Blank(options, key.get());
  X509* const issuer = impl_->cert.get();
  Extend(certificate.get(), issuer, NID_subject_alt_name, "DNS:localhost,IP:127.0.0.1");
  Extend(certificate.get(), issuer, NID_ext_key_usage, "serverAuth,clientAuth");
  Extend(certificate.get(), issuer, NID_authority_key_identifier, "keyid");
  Sign(certificate.get(), issuer, impl_->key.get());
  return {Pem(certificate.get()), Pem(key.get())};
}

std::string EncryptedKey(const std::string& key) {
  const Ptr<BIO> bio(BIO_new_mem_buf(key.data(), static_cast<int>(key.size())));
  const Ptr<EVP_PKEY> parsed(PEM_read_bio_PrivateKey(bio.get(), nullptr, nullptr, nullptr));
  return Pem([&](BIO* out) {
    return PEM_write_bio_PrivateKey(out, parsed.get(), EVP_aes_128_cbc(),
                                    reinterpret_cast<const unsigned char*>("secret"), 6, nullptr,
                                    nullptr);
  });
}

SecretFolder::SecretFolder(const std::string& name) : folder_(TestPath(name)) {
  std::filesystem::remove_all(folder_);
}

SecretFolder::~SecretFolder() { std::filesystem::remove_all(folder_); }

void SecretFolder::Replace(const std::map<std::string, std::string>& files) {
  const std::string version = absl::StrCat("v", ++version_);
  std::filesystem::create_directories(absl::StrCat(folder_, "/", version));
  for (const auto& [name, text] : files) {
    std::ofstream(absl::StrCat(folder_, "/", version, "/", name), std::ios::binary) << text;
  }
  const std::string next = absl::StrCat(folder_, "/next");
  std::filesystem::create_symlink(version, next);
  std::filesystem::rename(next, absl::StrCat(folder_, "/data"));
}

std::string SecretFolder::Path(const std::string& name) const {
  return absl::StrCat(folder_, "/data/", name);
}

}  // namespace ilf
