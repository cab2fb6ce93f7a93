// docs/metrics.md against what the metrics port answers.
#include <fstream>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "engine/base/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "ilf/v1/image_generation.pb.h"
#include "prometheus/exposer.h"
#include "server/process_metrics.h"
#include "server/rpc_metrics.h"
#include "tests/server/report_everything.h"
#include "tests/testing/http_get.h"

namespace ilf {
namespace {

using testing::IsEmpty;
using testing::Not;

struct Metric {
  std::string type;
  std::set<std::string> labels;
  bool operator==(const Metric&) const = default;
};

void PrintTo(const Metric& metric, std::ostream* out) {
  *out << metric.type << " " << testing::PrintToString(metric.labels);
}

using Metrics = std::map<std::string, Metric>;

// The rows "| `name` | type | `label`, ... | meaning |".
Metrics Documented() {
  Metrics metrics;
  std::ifstream file(ILF_SOURCE_DIR "/docs/metrics.md");
  std::string line;
  while (std::getline(file, line)) {
    if (!line.starts_with("| `")) continue;
    const std::vector<std::string> cells = absl::StrSplit(line, '|');
    EXPECT_EQ(cells.size(), 6u) << line;
    if (cells.size() != 6) continue;
    const auto bare = [](absl::string_view text) {
      return std::string(
          absl::StripPrefix(absl::StripSuffix(absl::StripAsciiWhitespace(text), "`"), "`"));
    };
    Metric metric = {bare(cells[2]), {}};
    for (const absl::string_view label : absl::StrSplit(cells[3], ',', absl::SkipWhitespace())) {
      metric.labels.insert(bare(label));
    }
    EXPECT_THAT(bare(cells[4]), Not(IsEmpty())) << line;
    EXPECT_TRUE(metrics.emplace(bare(cells[1]), metric).second) << line << " twice";
  }
  return metrics;
}

// The names of the labels of a sample line, without those that belong to its type.
std::set<std::string> LabelsOf(const std::string& sample) {
  std::set<std::string> labels;
  const size_t open = sample.find('{');
  if (open == std::string::npos) return labels;
  const std::string inside = sample.substr(open + 1, sample.rfind('}') - open - 1);
  for (const absl::string_view part : absl::StrSplit(inside, ',', absl::SkipEmpty())) {
    const absl::string_view name = part.substr(0, part.find('='));
    if (name != "le" && name != "quantile") labels.insert(std::string(name));
  }
  return labels;
}

std::vector<std::string> Lines(const std::string& text) {
  return absl::StrSplit(text, absl::ByAnyChar("\r\n"), absl::SkipEmpty());
}

// What an exposition says: a "# TYPE name type" line before the samples of each metric.
Metrics Exposed(const std::string& text) {
  Metrics metrics;
  std::string current;
  for (const std::string& line : Lines(text)) {
    if (line.starts_with("# TYPE ")) {
      const std::vector<std::string> words = absl::StrSplit(line, ' ');
      current = words.at(2);
      metrics[current].type = words.at(3);
    } else if (!current.empty() && line.starts_with(current)) {
      metrics[current].labels.merge(LabelsOf(line));
    }
  }
  return metrics;
}

// An exposer over metrics that all have values, as Server has it.
class MetricsDocTest : public testing::Test {
 protected:
  MetricsDocTest() {
    ReportEverything(&metrics_);
    rpcs_.Announce(*v1::GenerateRequest::descriptor()->file()->service(0));
    exposer_.RegisterCollectable(metrics_.registry());
    exposer_.RegisterCollectable(process_);
    Scrape();  // the exposer's own count it
  }

  std::string Scrape() {
    return HttpGet(absl::StrCat("127.0.0.1:", exposer_.GetListeningPorts().front()), "/metrics");
  }

  ServerMetrics metrics_{"1"};
  const std::shared_ptr<ProcessMetrics> process_ = std::make_shared<ProcessMetrics>();
  RpcMetrics rpcs_{metrics_.registry().get(), SystemClock()};
  prometheus::Exposer exposer_{"127.0.0.1:0"};
};

TEST_F(MetricsDocTest, EveryMetricIsDocumentedWithItsTypeAndLabels) {
  const Metrics exposed = Exposed(Scrape());
  const Metrics documented = Documented();
  EXPECT_THAT(exposed, Not(IsEmpty()));
  for (const auto& [name, metric] : exposed) {
    ASSERT_TRUE(documented.contains(name)) << name << " is not in docs/metrics.md";
    EXPECT_EQ(metric, documented.at(name)) << name;
  }
  for (const auto& [name, metric] : documented) {
    EXPECT_TRUE(exposed.contains(name)) << name << " of docs/metrics.md does not exist";
  }
}

TEST_F(MetricsDocTest, EveryHistogramOfSecondsReachesFromTenMillisecondsToTenMinutes) {
  std::map<std::string, std::vector<std::string>> bounds;  // of the first series
  for (const std::string& line : Lines(Scrape())) {
    const size_t name_end = line.find("_seconds_bucket{");
    const size_t le = line.find("le=\"");
    if (name_end == std::string::npos || le == std::string::npos) continue;
    auto& seen = bounds[line.substr(0, name_end)];
    if (!seen.empty() && seen.back() == "+Inf") continue;
    seen.push_back(line.substr(le + 4, line.find('"', le + 4) - le - 4));
  }
  EXPECT_EQ(bounds.size(), 6u);
  for (const auto& [name, buckets] : bounds) {
    EXPECT_THAT(buckets,
                testing::ElementsAre("0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5",
                                     "10", "30", "60", "120", "300", "600", "+Inf"))
        << name;
  }
}

}  // namespace
}  // namespace ilf
