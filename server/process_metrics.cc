#include "server/process_metrics.h"

#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <system_error>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace ilf {
namespace {

using prometheus::MetricFamily;
using prometheus::MetricType;

// The fields behind the name of the program, as proc(5) counts them.
class StatFields {
 public:
  explicit StatFields(absl::string_view text) {
    // The name may hold spaces and parentheses itself.
    const size_t name_end = text.rfind(')');
    if (name_end == absl::string_view::npos) return;
    text.remove_prefix(name_end + 1);
    if (!absl::ConsumePrefix(&text, " ")) return;
    fields_ = absl::StrSplit(text, absl::ByAnyChar(" \n"));
    fields_.pop_back();  // nothing follows it: "" or cut off
  }

  std::optional<double> Get(size_t number) const {
    constexpr size_t kFirst = 3;
    int64_t value = 0;
    if (number - kFirst >= fields_.size() || !absl::SimpleAtoi(fields_[number - kFirst], &value) ||
        value < 0) {
      return std::nullopt;
    }
    return static_cast<double>(value);
  }

 private:
  std::vector<absl::string_view> fields_;
};

// "" when it cannot be read.
std::string ReadText(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::optional<double> CountOpenFiles(const std::string& fds_path) {
  std::error_code error;
  double count = -1;  // the folder itself is open meanwhile
  for (std::filesystem::directory_iterator entry(fds_path, error), end; !error && entry != end;
       entry.increment(error)) {
    ++count;
  }
  if (error || count < 0) return std::nullopt;
  return count;
}

// Absent where there is no limit.
std::optional<double> MaxOpenFiles() {
  rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return std::nullopt;
  return static_cast<double>(limit.rlim_cur);
}

void Add(const std::string& name, const std::string& help, MetricType type,
         std::optional<double> value, std::vector<MetricFamily>* families) {
  if (!value.has_value()) return;
  prometheus::ClientMetric metric;
  if (type == MetricType::Counter) {
    metric.counter.value = *value;
  } else {
    metric.gauge.value = *value;
  }
  families->push_back({name, help, type, {metric}});
}

}  // namespace

ProcessStat ParseProcessStat(absl::string_view text, int64_t ticks_per_second, int64_t page_bytes) {
  const StatFields fields(text);
  const auto user = fields.Get(14), system = fields.Get(15), start = fields.Get(22);
  const auto resident_pages = fields.Get(24);
  const double ticks = static_cast<double>(ticks_per_second);
  ProcessStat stat;
  if (user && system) stat.cpu_seconds = (*user + *system) / ticks;
  if (start) stat.start_seconds_after_boot = *start / ticks;
  stat.virtual_bytes = fields.Get(23);
  if (resident_pages) stat.resident_bytes = *resident_pages * static_cast<double>(page_bytes);
  return stat;
}

std::optional<double> ParseBootTime(absl::string_view text) {
  std::vector<absl::string_view> lines = absl::StrSplit(text, '\n');
  lines.pop_back();  // nothing follows it: "" or cut off
  for (absl::string_view line : lines) {
    int64_t seconds = 0;
    if (absl::ConsumePrefix(&line, "btime ") && absl::SimpleAtoi(line, &seconds) && seconds >= 0) {
      return static_cast<double>(seconds);
    }
  }
  return std::nullopt;
}

ProcessMetrics::ProcessMetrics(const std::string& proc)
    : stat_path_(absl::StrCat(proc, "/self/stat")),
      fds_path_(absl::StrCat(proc, "/self/fd")),
      boot_time_(ParseBootTime(ReadText(absl::StrCat(proc, "/stat")))) {}

std::vector<MetricFamily> ProcessMetrics::Collect() const {
  const ProcessStat stat =
      ParseProcessStat(ReadText(stat_path_), sysconf(_SC_CLK_TCK), sysconf(_SC_PAGESIZE));
  std::optional<double> start_time;
  if (boot_time_ && stat.start_seconds_after_boot) {
    start_time = *boot_time_ + *stat.start_seconds_after_boot;
  }
  std::vector<MetricFamily> families;
  Add("process_cpu_seconds_total", "User and system CPU time of the process", MetricType::Counter,
      stat.cpu_seconds, &families);
  Add("process_resident_memory_bytes", "Memory of the process that is in RAM", MetricType::Gauge,
      stat.resident_bytes, &families);
  Add("process_virtual_memory_bytes", "Address space of the process", MetricType::Gauge,
      stat.virtual_bytes, &families);
  Add("process_start_time_seconds", "When the process began, in Unix time", MetricType::Gauge,
      start_time, &families);
  Add("process_open_fds", "File descriptors that are open", MetricType::Gauge,
      CountOpenFiles(fds_path_), &families);
  Add("process_max_fds", "File descriptors that may be open", MetricType::Gauge, MaxOpenFiles(),
      &families);
  return families;
}

}  // namespace ilf
