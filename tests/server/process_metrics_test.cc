#include "server/process_metrics.h"

#include <filesystem>
#include <fstream>
#include <map>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/temp_path.h"

namespace ilf {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::Eq;
using testing::Ge;
using testing::Gt;
using testing::Key;
using testing::Le;
using testing::Lt;
using testing::Optional;

constexpr int kTicks = 100;
constexpr int kPage = 4096;

// A /proc/PID/stat up to the field behind the resident pages.
std::string StatOf(const std::string& name) {
  return absl::StrCat("4711 (", name,
                      ") S 1 4711 4711 0 -1 4194560 5000 0 7 0 1250 250 3 4 20 0 12 0 98765 "
                      "1073741824 2560 18446744073709551615 1 1 0\n");
}

void ExpectWhole(const ProcessStat& stat) {
  EXPECT_THAT(stat.cpu_seconds, Optional(15.0));
  EXPECT_THAT(stat.start_seconds_after_boot, Optional(987.65));
  EXPECT_THAT(stat.virtual_bytes, Optional(1073741824.0));
  EXPECT_THAT(stat.resident_bytes, Optional(2560.0 * kPage));
}

TEST(ParseProcessStatTest, ReadsTimesAndMemory) {
  ExpectWhole(ParseProcessStat(StatOf("ilf-server"), kTicks, kPage));
}

TEST(ParseProcessStatTest, TheNameMayHoldSpacesAndParentheses) {
  for (const char* name : {"", "a b", "(sd-pam)", "a) S 9 9", ")", "((", ") ) )"}) {
    SCOPED_TRACE(name);
    ExpectWhole(ParseProcessStat(StatOf(name), kTicks, kPage));
  }
}

// Every metric is either whole or not there, wherever the text ends.
TEST(ParseProcessStatTest, WhatIsCutOffIsAbsent) {
  for (const char* name : {"ilf-server", "a) S 9 9 9 9 9"}) {
    const std::string whole = StatOf(name);
    for (size_t size = 0; size < whole.size(); ++size) {
      const ProcessStat stat = ParseProcessStat(whole.substr(0, size), kTicks, kPage);
      SCOPED_TRACE(whole.substr(0, size));
      EXPECT_EQ(stat.cpu_seconds.value_or(15.0), 15.0);
      EXPECT_EQ(stat.start_seconds_after_boot.value_or(987.65), 987.65);
      EXPECT_EQ(stat.virtual_bytes.value_or(1073741824.0), 1073741824.0);
      EXPECT_EQ(stat.resident_bytes.value_or(2560.0 * kPage), 2560.0 * kPage);
      EXPECT_EQ(stat.cpu_seconds.has_value(), size > whole.find("1250 250 ") + 8);
      EXPECT_EQ(stat.resident_bytes.has_value(), size > whole.find(" 2560 ") + 5);
    }
  }
}

TEST(ParseProcessStatTest, WhatIsNoNumberIsAbsent) {
  std::string text = StatOf("x");
  text.replace(text.find("1250"), 4, "125x");
  text.replace(text.find("2560"), 4, "-256");
  const ProcessStat stat = ParseProcessStat(text, kTicks, kPage);
  EXPECT_EQ(stat.cpu_seconds, std::nullopt);
  EXPECT_EQ(stat.resident_bytes, std::nullopt);
  EXPECT_THAT(stat.virtual_bytes, Optional(1073741824.0));
}

TEST(ParseBootTimeTest, FindsItsLine) {
  EXPECT_THAT(ParseBootTime("cpu  1 2 3\nctxt 99\nbtime 1700000000\nprocesses 5\n"),
              Optional(1700000000.0));
  EXPECT_EQ(ParseBootTime("cpu  1 2 3\nbtime 17000"), std::nullopt);
  EXPECT_EQ(ParseBootTime("btime soon\n"), std::nullopt);
  EXPECT_EQ(ParseBootTime(""), std::nullopt);
}

// The value of each metric, none of which has labels.
std::map<std::string, double> Values(const ProcessMetrics& metrics) {
  std::map<std::string, double> values;
  for (const prometheus::MetricFamily& family : metrics.Collect()) {
    EXPECT_FALSE(family.help.empty()) << family.name;
    EXPECT_EQ(family.metric.size(), 1u) << family.name;
    EXPECT_TRUE(family.metric.front().label.empty()) << family.name;
    const bool counter = family.type == prometheus::MetricType::Counter;
    EXPECT_EQ(family.name.ends_with("_total"), counter) << family.name;
    values[family.name] =
        counter ? family.metric.front().counter.value : family.metric.front().gauge.value;
  }
  return values;
}

TEST(ProcessMetricsTest, TellsOfThisProcess) {
  const ProcessMetrics metrics;
  std::map<std::string, double> values = Values(metrics);
  EXPECT_THAT(values,
              ElementsAre(Key("process_cpu_seconds_total"), Key("process_max_fds"),
                          Key("process_open_fds"), Key("process_resident_memory_bytes"),
                          Key("process_start_time_seconds"), Key("process_virtual_memory_bytes")));
  const double now = static_cast<double>(absl::ToUnixSeconds(absl::Now()));
  EXPECT_THAT(values["process_start_time_seconds"], AllOf(Gt(now - 3600), Le(now + 2)));
  EXPECT_THAT(values["process_resident_memory_bytes"],
              AllOf(Gt(1e6), Lt(values["process_virtual_memory_bytes"])));
  EXPECT_THAT(values["process_open_fds"], AllOf(Ge(3), Lt(values["process_max_fds"])));
}

TEST(ProcessMetricsTest, CountsOpenFiles) {
  const ProcessMetrics metrics;
  const double before = Values(metrics)["process_open_fds"];
  const std::ifstream file("/proc/self/stat");
  EXPECT_EQ(Values(metrics)["process_open_fds"], before + 1);
}

TEST(ProcessMetricsTest, CountsCpuTime) {
  const ProcessMetrics metrics;
  const double before = Values(metrics)["process_cpu_seconds_total"];
  const absl::Time end = absl::Now() + absl::Seconds(30);
  double after = before;
  while (after < before + 0.05 && absl::Now() < end) {
    after = Values(metrics)["process_cpu_seconds_total"];
  }
  EXPECT_THAT(after, Ge(before + 0.05));
}

TEST(ProcessMetricsTest, LeavesOutWhatCannotBeRead) {
  const std::string proc = TestPath("proc");
  std::filesystem::remove_all(proc);  // of an earlier run
  EXPECT_THAT(Values(ProcessMetrics(proc)), ElementsAre(Key("process_max_fds")));
  std::filesystem::create_directories(proc + "/self");
  std::ofstream(proc + "/self/stat") << StatOf("x");
  EXPECT_THAT(
      Values(ProcessMetrics(proc)),
      ElementsAre(Key("process_cpu_seconds_total"), Key("process_max_fds"),
                  Key("process_resident_memory_bytes"), Key("process_virtual_memory_bytes")));
  std::ofstream(proc + "/stat") << "btime 1700000000\n";
  EXPECT_THAT(Values(ProcessMetrics(proc))["process_start_time_seconds"], Eq(1700000987.65));
}

}  // namespace
}  // namespace ilf
