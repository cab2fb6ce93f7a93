#include "server/config_file.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/server_options.h"

namespace ilf {
namespace {

using testing::HasSubstr;

std::string ErrorOf(absl::string_view text) {
  const auto config = ParseConfig(text, "ilf.textproto");
  EXPECT_EQ(config.status().code(), absl::StatusCode::kInvalidArgument);
  return std::string(config.status().message());
}

TEST(ParseConfigTest, ReadsEveryField) {
  const auto config = ParseConfig(R"(
    model_root: "/srv/models"
    address: "0.0.0.0:8000"
    metrics_address: "[::]:9000"
    device: "cuda:0"
    device: "cuda:1"
    threads_per_worker: 4
    dtype: "bfloat16"
    batching {
      max_queued_images: 10
      max_batch_rows: 64
      max_batch_tokens: 65536
      max_active_images: 5
      watchdog_timeout { seconds: 7 }
      finisher_threads: 3
      prompt_cache_mib: 7
    }
    streaming {
      write_stall_timeout { seconds: 8 }
      max_stream_bytes: 2000000
    }
    drain_timeout { seconds: 9 nanos: 500000000 }
    log_level: "warning"
    health_address: "[::]:9001"
    tls_cert: "/tls/tls.crt"
    tls_key: "/tls/tls.key"
    tls_client_ca: "/tls/ca.crt"
    tls_refresh_interval { seconds: 11 }
    max_connection_age { seconds: 600 }
  )",
                                  "ilf.textproto");
  ASSERT_TRUE(config.ok()) << config.status();
  const ServerOptions options = MergeOptions(*config, {});
  EXPECT_EQ(options.model_root, "/srv/models");
  EXPECT_EQ(options.address, "0.0.0.0:8000");
  EXPECT_EQ(options.metrics_address, "[::]:9000");
  EXPECT_THAT(options.devices, testing::ElementsAre("cuda:0", "cuda:1"));
  EXPECT_EQ(options.threads_per_worker, 4);
  EXPECT_EQ(options.dtype, "bfloat16");
  EXPECT_EQ(options.max_queued_images, 10);
  EXPECT_EQ(options.max_batch_rows, 64);
  EXPECT_EQ(options.max_batch_tokens, 65536);
  EXPECT_EQ(options.max_active_images, 5);
  EXPECT_EQ(options.watchdog_timeout, absl::Seconds(7));
  EXPECT_EQ(options.finisher_threads, 3);
  EXPECT_EQ(options.prompt_cache_mib, 7);
  EXPECT_EQ(options.write_stall_timeout, absl::Seconds(8));
  EXPECT_EQ(options.max_stream_bytes, 2'000'000);
  EXPECT_EQ(options.drain_timeout, absl::Milliseconds(9500));
  EXPECT_EQ(options.log_level, "warning");
  EXPECT_EQ(options.health_address, "[::]:9001");
  EXPECT_EQ(options.tls.cert, "/tls/tls.crt");
  EXPECT_EQ(options.tls.key, "/tls/tls.key");
  EXPECT_EQ(options.tls.ca, "/tls/ca.crt");
  EXPECT_EQ(options.tls_refresh_interval, absl::Seconds(11));
  EXPECT_EQ(options.max_connection_age, absl::Minutes(10));
}

TEST(ParseConfigTest, AnEmptyFileKeepsEveryDefault) {
  const auto config = ParseConfig("# nothing\n", "ilf.textproto");
  ASSERT_TRUE(config.ok()) << config.status();
  const ServerOptions options = MergeOptions(*config, {});
  EXPECT_EQ(options.address, ServerOptions{}.address);
  EXPECT_THAT(options.devices, testing::ElementsAre("cpu"));
  EXPECT_EQ(options.health_address, kNoHealthPort);
  EXPECT_EQ(options.tls.cert, "");
  EXPECT_EQ(options.tls_refresh_interval, kTlsRefreshInterval);
  EXPECT_EQ(options.max_connection_age, absl::ZeroDuration());
}

TEST(ParseConfigTest, AMistakeInTheSyntaxHasItsLineAndColumn) {
  EXPECT_THAT(ErrorOf("model_root: \"a\"\naddres: \"x:1\"\n"), HasSubstr("ilf.textproto:2:7: "));
  EXPECT_THAT(ErrorOf("model_root: \"a\"\naddres: \"x:1\"\n"), HasSubstr("addres"));
}

TEST(ParseConfigTest, AWrongTypeHasItsLine) {
  EXPECT_THAT(ErrorOf("batching {\n  max_batch_rows: \"many\"\n}\n"),
              HasSubstr("ilf.textproto:2:"));
}

TEST(ParseConfigTest, AValueOutOfRangeHasItsLineColumnFieldAndLimit) {
  EXPECT_EQ(ErrorOf("model_root: \"a\"\nbatching {\n  max_batch_rows: 1\n}\n"),
            "ilf.textproto:3:3: batching.max_batch_rows: must lie between 2 and 4096, is 1");
}

TEST(ParseConfigTest, ARepeatedFieldIsLocatedByEntry) {
  EXPECT_EQ(ErrorOf("device: \"cpu\"\ndevice: \"gpu\"\n"),
            "ilf.textproto:2:1: device: must be cpu or cuda:N, is 'gpu'");
}

TEST(ParseConfigTest, AnUnknownNameIsLocatedWithTheKnownOnes) {
  EXPECT_EQ(ErrorOf("\n  dtype: \"int8\"\n"),
            "ilf.textproto:2:3: dtype: must be one of auto, float32, bfloat16, is 'int8'");
}

TEST(ParseConfigTest, ADurationIsLocatedAndPrintedWithUnits) {
  EXPECT_EQ(ErrorOf("\ndrain_timeout { seconds: 7200 }"),
            "ilf.textproto:2:1: drain_timeout: must lie between 0 and 1h, is 2h");
}

TEST(ParseConfigTest, EveryMistakeIsReported) {
  EXPECT_EQ(ErrorOf("address: \"nowhere\"\n"
                    "threads_per_worker: -1\n"
                    "streaming { write_stall_timeout {} }\n"),
            "ilf.textproto:1:1: address: must be HOST:PORT, is 'nowhere'\n"
            "ilf.textproto:2:1: threads_per_worker: must lie between 0 and 1024, is -1\n"
            "ilf.textproto:3:13: streaming.write_stall_timeout: must lie between 1s and 1h, is 0");
}

TEST(ParseConfigTest, EveryRangeIsChecked) {
  for (const char* text : {"address: \":1\"",
                           "address: \"h:65536\"",
                           "address: \"h:\"",
                           "address: \"\"",
                           "metrics_address: \"h\"",
                           "metrics_address: \"\"",
                           "log_level: \"loud\"",
                           "device: \"cuda:\"",
                           "device: \"cuda:-1\"",
                           "device: \"cuda:1024\"",
                           "threads_per_worker: 1025",
                           "batching { max_queued_images: 0 }",
                           "batching { max_queued_images: 100001 }",
                           "batching { max_batch_rows: 4097 }",
                           "batching { max_batch_tokens: 0 }",
                           "batching { max_batch_tokens: 16777217 }",
                           "batching { max_active_images: 0 }",
                           "batching { max_active_images: 4097 }",
                           "batching { watchdog_timeout { seconds: 0 } }",
                           "batching { finisher_threads: 0 }",
                           "batching { finisher_threads: 65 }",
                           "batching { prompt_cache_mib: -1 }",
                           "batching { prompt_cache_mib: 1048577 }",
                           "streaming { write_stall_timeout { seconds: 3601 } }",
                           "streaming { max_stream_bytes: 1048575 }",
                           "streaming { max_stream_bytes: 1073741825 }",
                           "drain_timeout { seconds: -1 }",
                           "health_address: \"h\"",
                           "tls_cert: \"\"",
                           "tls_key: \"\"",
                           "tls_client_ca: \"\"",
                           "tls_refresh_interval { seconds: 0 }",
                           "tls_refresh_interval { seconds: 1 nanos: 1 }",
                           "tls_refresh_interval { seconds: 86401 }",
                           "max_connection_age { nanos: 999999999 }",
                           "max_connection_age { seconds: -1 }",
                           "max_connection_age { seconds: 86401 }"}) {
    EXPECT_FALSE(ParseConfig(text, "f").ok()) << text;
  }
}

TEST(ParseConfigTest, MetricsCanBeTurnedOff) {
  const auto config = ParseConfig("metrics_address: \"none\"", "f");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(MergeOptions(*config, {}).metrics_address, kNoMetrics);
}

TEST(ReadConfigFileTest, NamesAFileThatIsNotThere) {
  const auto config = ReadConfigFile("/nowhere/ilf.textproto");
  EXPECT_EQ(config.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(config.status().message()), HasSubstr("/nowhere/ilf.textproto"));
}

TEST(ReadConfigFileTest, AnEmptyFileLeavesEveryDefault) {
  const auto config = ReadConfigFile("/dev/null");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->ByteSizeLong(), 0u);
}

TEST(ReadConfigFileTest, ADirectoryIsAnError) {
  const auto config = ReadConfigFile(ILF_SOURCE_DIR);
  ASSERT_FALSE(config.ok());
  EXPECT_THAT(std::string(config.status().message()), HasSubstr(ILF_SOURCE_DIR));
}

}  // namespace
}  // namespace ilf
