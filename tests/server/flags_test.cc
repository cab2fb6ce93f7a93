#include "server/flags.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/config_file.h"
#include "server/server_options.h"

namespace ilf {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

absl::StatusOr<Flags> Parse(std::vector<const char*> arguments) {
  arguments.insert(arguments.begin(), "ilf-server");
  return ParseFlags(static_cast<int>(arguments.size()), arguments.data());
}

std::string ErrorOf(std::vector<const char*> arguments) {
  const auto flags = Parse(std::move(arguments));
  EXPECT_EQ(flags.status().code(), absl::StatusCode::kInvalidArgument);
  return std::string(flags.status().message());
}

TEST(FlagsTest, EveryFlagReachesTheOptions) {
  const auto flags = Parse({"--model_root",
                            "m",
                            "--address=h:1",
                            "--metrics_address=h:2",
                            "--device=cpu,cuda:1",
                            "--device",
                            "cuda:2",
                            "--threads_per_worker=3",
                            "--dtype=float32",
                            "--drain_timeout=1m",
                            "--max_queued_images=11",
                            "--max_batch_rows=12",
                            "--max_batch_tokens=1200",
                            "--max_active_images=13",
                            "--write_stall_timeout=1500ms",
                            "--log_level=error",
                            "--config=c.textproto",
                            "--port_file=p",
                            "--check_config",
                            "--health_address=h:3",
                            "--tls_cert=c",
                            "--tls_key=k",
                            "--tls_client_ca=a",
                            "--tls_refresh_interval=5s",
                            "--max_connection_age=30m"});
  ASSERT_TRUE(flags.ok()) << flags.status();
  EXPECT_EQ(flags->config_file, "c.textproto");
  EXPECT_EQ(flags->port_file, "p");
  EXPECT_TRUE(flags->check_config);
  const ServerOptions options = MergeOptions({}, flags->overrides);
  EXPECT_EQ(options.model_root, "m");
  EXPECT_EQ(options.address, "h:1");
  EXPECT_EQ(options.metrics_address, "h:2");
  EXPECT_THAT(options.devices, ElementsAre("cpu", "cuda:1", "cuda:2"));
  EXPECT_EQ(options.threads_per_worker, 3);
  EXPECT_EQ(options.dtype, "float32");
  EXPECT_EQ(options.drain_timeout, absl::Minutes(1));
  EXPECT_EQ(options.max_queued_images, 11);
  EXPECT_EQ(options.max_batch_rows, 12);
  EXPECT_EQ(options.max_batch_tokens, 1200);
  EXPECT_EQ(options.max_active_images, 13);
  EXPECT_EQ(options.write_stall_timeout, absl::Milliseconds(1500));
  EXPECT_EQ(options.log_level, "error");
  EXPECT_EQ(options.health_address, "h:3");
  EXPECT_EQ(options.tls.cert, "c");
  EXPECT_EQ(options.tls.key, "k");
  EXPECT_EQ(options.tls.ca, "a");
  EXPECT_EQ(options.tls_refresh_interval, absl::Seconds(5));
  EXPECT_EQ(options.max_connection_age, absl::Minutes(30));
}

TEST(FlagsTest, AFlagOverridesTheFileAndLeavesTheRest) {
  const auto file = ParseConfig(
      "model_root: \"file\" device: \"cuda:0\" drain_timeout { seconds: 5 nanos: 500000000 }\n"
      "batching { max_batch_rows: 8 max_queued_images: 9 }",
      "f");
  ASSERT_TRUE(file.ok()) << file.status();
  const auto flags = Parse({"--device=cpu", "--drain_timeout=2s", "--max_batch_rows=4"});
  ASSERT_TRUE(flags.ok()) << flags.status();
  const ServerOptions options = MergeOptions(*file, flags->overrides);
  EXPECT_EQ(options.model_root, "file");
  EXPECT_THAT(options.devices, ElementsAre("cpu"));
  EXPECT_EQ(options.drain_timeout, absl::Seconds(2));
  EXPECT_EQ(options.max_batch_rows, 4);
  EXPECT_EQ(options.max_queued_images, 9);
}

TEST(FlagsTest, AFlagReplacesADurationOfTheFileAsAWhole) {
  const auto file = ParseConfig(
      "tls_refresh_interval { seconds: 30 } max_connection_age { seconds: 1 nanos: 500000000 }",
      "f");
  ASSERT_TRUE(file.ok()) << file.status();
  const auto flags = Parse({"--tls_refresh_interval=2s", "--max_connection_age=0s"});
  ASSERT_TRUE(flags.ok()) << flags.status();
  const ServerOptions options = MergeOptions(*file, flags->overrides);
  EXPECT_EQ(options.tls_refresh_interval, absl::Seconds(2));
  EXPECT_EQ(options.max_connection_age, absl::ZeroDuration());
}

TEST(FlagsTest, AuthoritiesOfClientsNeedACertificateOfTheServer) {
  EXPECT_EQ(std::string(CheckServerTls({"", "", "ca.pem"}).status().message()),
            "--tls_client_ca: needs --tls_cert and --tls_key");
}

TEST(FlagsTest, MetricsCanBeTurnedOff) {
  const auto flags = Parse({"--metrics_address=none"});
  ASSERT_TRUE(flags.ok()) << flags.status();
  EXPECT_EQ(MergeOptions({}, flags->overrides).metrics_address, kNoMetrics);
}

TEST(FlagsTest, AMistakeNamesTheFlagAndItsLimit) {
  EXPECT_EQ(ErrorOf({"--threads_per_worker=-1"}),
            "--threads_per_worker: must lie between 0 and 1024, is -1");
  EXPECT_EQ(ErrorOf({"--max_batch_rows=1", "--device=gpu"}),
            "--device: must be cpu or cuda:N, is 'gpu'\n"
            "--max_batch_rows: must lie between 2 and 4096, is 1");
  EXPECT_EQ(ErrorOf({"--health_address=here"}), "--health_address: must be HOST:PORT, is 'here'");
  EXPECT_EQ(ErrorOf({"--tls_cert", ""}), "--tls_cert: must name a file, is ''");
  EXPECT_EQ(ErrorOf({"--tls_refresh_interval=1500ms"}),
            "--tls_refresh_interval: must be whole seconds, is 1.5s");
  EXPECT_EQ(ErrorOf({"--tls_refresh_interval=25h"}),
            "--tls_refresh_interval: must lie between 1s and 24h, is 25h");
  EXPECT_EQ(ErrorOf({"--max_connection_age=1ms"}),
            "--max_connection_age: must lie between 1s and 24h, is 1ms");
  EXPECT_THAT(ErrorOf({"--drain_timeout=soon"}), HasSubstr("--drain_timeout"));
  EXPECT_THAT(ErrorOf({"--drain_timeout=soon"}), HasSubstr("such as 30s, is 'soon'"));
  EXPECT_THAT(ErrorOf({"--dtype=int8"}), HasSubstr("--dtype"));
  EXPECT_THAT(ErrorOf({"--log_level=loud"}), HasSubstr("--log_level"));
  EXPECT_THAT(ErrorOf({"--threads_per_worker=many"}), HasSubstr("--threads_per_worker"));
  EXPECT_THAT(ErrorOf({"--no_such_flag"}), HasSubstr("--no_such_flag"));
  EXPECT_THAT(ErrorOf({"stray"}), HasSubstr("stray"));
}

TEST(FlagsTest, HelpShowsEveryFlagWithItsDefault) {
  const auto flags = Parse({"--help"});
  ASSERT_TRUE(flags.ok()) << flags.status();
  ASSERT_TRUE(flags->show.has_value());
  for (const char* flag : {"--config",
                           "--model_root",
                           "--address",
                           "--metrics_address",
                           "--port_file",
                           "--device",
                           "--threads_per_worker",
                           "--dtype",
                           "--max_queued_images",
                           "--max_batch_rows",
                           "--max_batch_tokens",
                           "--max_active_images",
                           "--write_stall_timeout",
                           "--drain_timeout",
                           "--log_level",
                           "--check_config",
                           "--health_address",
                           "--tls_cert",
                           "--tls_key",
                           "--tls_client_ca",
                           "--tls_refresh_interval",
                           "--max_connection_age",
                           "default 1m",
                           "--version",
                           "127.0.0.1:50051",
                           "127.0.0.1:9464",
                           "default 30s"}) {
    EXPECT_THAT(*flags->show, HasSubstr(flag));
  }
}

TEST(FlagsTest, VersionNamesTheProgram) {
  const auto flags = Parse({"--version"});
  ASSERT_TRUE(flags.ok()) << flags.status();
  EXPECT_THAT(flags->show.value_or(""), testing::MatchesRegex("ilf-server [0-9.]+\n"));
}

}  // namespace
}  // namespace ilf
