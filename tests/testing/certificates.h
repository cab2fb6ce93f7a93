// Certificates for tests of TLS, made on the spot.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace ilf {

// What a certificate should be like.
struct CertificateOptions {
  std::string name = "localhost";  // its common name
  absl::Time not_before = absl::Now() - absl::Hours(1);
  absl::Time not_after = absl::Now() + absl::Hours(1);
};

// A certificate and its key, PEM.
struct Identity {
  std::string cert;
  std::string key;
};

// Signs certificates for "localhost" and 127.0.0.1, good for servers and clients.
class CertificateAuthority {
 public:
  explicit CertificateAuthority(const std::string& name = "Test CA");
  ~CertificateAuthority();
  CertificateAuthority(const CertificateAuthority&) = delete;
  CertificateAuthority& operator=(const CertificateAuthority&) = delete;

  // The authority's own certificate, PEM.
  const std::string& cert() const { return cert_; }

  Identity Issue(const CertificateOptions& options = {}) const;

 private:
  struct Impl;
  const std::unique_ptr<Impl> impl_;
  const std::string cert_;
};

// `key` as PEM that a passphrase protects.
std::string EncryptedKey(const std::string& key);

// A folder of the running test's own whose files are replaced all at once, as Kubernetes does with
// a mounted Secret. Goes away with the object.
class SecretFolder {
 public:
  explicit SecretFolder(const std::string& name = "secret");
  ~SecretFolder();
  SecretFolder(const SecretFolder&) = delete;
  SecretFolder& operator=(const SecretFolder&) = delete;

  // From now on the folder holds these files, by name, and no others.
  void Replace(const std::map<std::string, std::string>& files);

  // The path of a file; the same before and after Replace.
  std::string Path(const std::string& name) const;

 private:
  const std::string folder_;
  int version_ = 0;
};

}  // namespace ilf
