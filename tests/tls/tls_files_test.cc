#include "tls/tls_files.h"

#include <filesystem>
#include <fstream>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/certificates.h"

namespace ilf {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

class TlsFilesTest : public testing::Test {
 protected:
  TlsFilesTest() {
    const Identity identity = authority_.Issue({.name = "server"});
    Put(identity.cert, identity.key);
  }

  void Put(const std::string& cert, const std::string& key) {
    folder_.Replace({{"cert", cert}, {"key", key}, {"ca", authority_.cert()}});
  }

  std::string Error() const {
    const auto checked = CheckTlsFiles(files_, "--the_ca");
    EXPECT_EQ(checked.status().code(), absl::StatusCode::kInvalidArgument);
    return std::string(checked.status().message());
  }

  const CertificateAuthority authority_;
  SecretFolder folder_;
  TlsFiles files_ = {folder_.Path("cert"), folder_.Path("key"), folder_.Path("ca")};
};

TEST_F(TlsFilesTest, NoFilesAreNoCertificate) {
  const auto checked = CheckTlsFiles({}, "--the_ca");
  ASSERT_TRUE(checked.ok()) << checked.status();
  EXPECT_FALSE(checked->has_value());
}

TEST_F(TlsFilesTest, TellsWhoseTheCertificateIsAndHowLongItIsValid) {
  const absl::Time from = absl::FromUnixSeconds(1'600'000'000);
  const absl::Time to = absl::FromUnixSeconds(4'000'000'000);
  const Identity identity =
      authority_.Issue({.name = "paint", .not_before = from, .not_after = to});
  Put(identity.cert, identity.key);
  const auto checked = CheckTlsFiles(files_, "--the_ca");
  ASSERT_TRUE(checked.ok()) << checked.status();
  ASSERT_TRUE(checked->has_value());
  EXPECT_EQ((*checked)->subject, "CN=paint");
  EXPECT_EQ((*checked)->not_before, from);
  EXPECT_EQ((*checked)->not_after, to);
}

TEST_F(TlsFilesTest, TakesAChain) {
  const Identity identity = authority_.Issue();
  Put(identity.cert + authority_.cert(), identity.key);
  EXPECT_TRUE(CheckTlsFiles(files_, "--the_ca").ok());
}

TEST_F(TlsFilesTest, AnExpiredCertificateIsNoMistake) {
  const Identity identity = authority_.Issue(
      {.not_before = absl::Now() - absl::Hours(2), .not_after = absl::Now() - absl::Hours(1)});
  Put(identity.cert, identity.key);
  EXPECT_TRUE(CheckTlsFiles(files_, "--the_ca").ok());
}

TEST_F(TlsFilesTest, AKeyNeedsACertificateAndTheReverse) {
  files_.cert = "";
  EXPECT_EQ(Error(), "--tls_cert: missing: --tls_key needs the key's certificate");
  std::swap(files_.cert, files_.key);
  files_.cert = folder_.Path("cert");
  files_.key = "";
  EXPECT_EQ(Error(), "--tls_key: missing: --tls_cert needs the certificate's key");
}

TEST_F(TlsFilesTest, EveryFileThatCannotBeReadIsNamedWithItsFlag) {
  files_ = {"/nowhere/c", "/nowhere/k", "/nowhere/a"};
  EXPECT_EQ(Error(),
            "--tls_cert: cannot read /nowhere/c: No such file or directory\n"
            "--tls_key: cannot read /nowhere/k: No such file or directory\n"
            "--the_ca: cannot read /nowhere/a: No such file or directory");
}

TEST_F(TlsFilesTest, AFolderIsNoFile) {
  files_.cert = testing::TempDir();
  EXPECT_THAT(Error(), StartsWith("--tls_cert: cannot read "));
}

TEST_F(TlsFilesTest, AKeyOfAnotherCertificateIsAMistake) {
  Put(authority_.Issue().cert, authority_.Issue().key);
  EXPECT_THAT(Error(), StartsWith("--tls_key: " + files_.key +
                                  " is not the key of the certificate in " + files_.cert));
}

TEST_F(TlsFilesTest, FilesThatWereMixedUpAreNamed) {
  std::swap(files_.cert, files_.key);
  EXPECT_EQ(Error(), "--tls_cert: " + files_.cert + " holds no PEM certificate\n--tls_key: " +
                         files_.key + " holds no PEM private key");
}

TEST_F(TlsFilesTest, AnEmptyFileHoldsNoCertificate) {
  files_.ca = "/dev/null";
  EXPECT_EQ(Error(), "--the_ca: /dev/null holds no PEM certificate");
}

TEST_F(TlsFilesTest, ADamagedCertificateIsCounted) {
  const Identity identity = authority_.Issue();
  std::string damaged = authority_.cert();
  damaged.insert(damaged.size() / 2, "!");
  Put(identity.cert + damaged, identity.key);
  EXPECT_EQ(Error(), "--tls_cert: certificate 2 of " + files_.cert + " is damaged");
}

TEST_F(TlsFilesTest, AKeyWithAPassphraseIsRefusedWithTheReason) {
  const Identity identity = authority_.Issue();
  Put(identity.cert, EncryptedKey(identity.key));
  EXPECT_EQ(Error(), "--tls_key: " + files_.key + " needs a passphrase: store the key without one");
}

}  // namespace
}  // namespace ilf
