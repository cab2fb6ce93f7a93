// What Linux says about this process, under the names that Prometheus's client libraries use.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "prometheus/collectable.h"
#include "prometheus/metric_family.h"

namespace ilf {

// Of a /proc/PID/stat. What the text does not hold, or holds to its very end only, where it may be
// cut off, is absent.
struct ProcessStat {
  std::optional<double> cpu_seconds;  // user and system, of all threads
  std::optional<double> start_seconds_after_boot;
  std::optional<double> virtual_bytes;
  std::optional<double> resident_bytes;
};

ProcessStat ParseProcessStat(absl::string_view text, int64_t ticks_per_second, int64_t page_bytes);

// The Unix time of the boot, of /proc/stat.
std::optional<double> ParseBootTime(absl::string_view text);

// Reads them at every scrape; what cannot be read is left out. Thread-safe.
class ProcessMetrics final : public prometheus::Collectable {
 public:
  // `proc` is where procfs is mounted.
  explicit ProcessMetrics(const std::string& proc = "/proc");

  std::vector<prometheus::MetricFamily> Collect() const override;

 private:
  const std::string stat_path_;
  const std::string fds_path_;
  const std::optional<double> boot_time_;  // read once: the kernel's answer moves with its clock
};

}  // namespace ilf
