#include "server/metrics.h"

#include <set>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "prometheus/text_serializer.h"
#include "tests/server/report_everything.h"

namespace ilf {
namespace {

using testing::HasSubstr;

std::string Scrape(const ServerMetrics& metrics) {
  return prometheus::TextSerializer().Serialize(metrics.registry()->Collect());
}

TEST(ServerMetricsTest, ReportsEverythingUnderItsNameAndLabels) {
  ServerMetrics metrics("1.2.3");
  ReportEverything(&metrics);
  const std::string text = Scrape(metrics);
  for (const char* line : {
           "ilf_build_info{version=\"1.2.3\"} 1\n",
           "ilf_worker_info{device=\"cpu\",worker=\"0\"} 1\n",
           "ilf_worker_info{device=\"cuda:3\",worker=\"1\"} 1\n",
           "ilf_max_batch_rows 48\n",
           "ilf_max_batch_tokens 4800\n",
           "ilf_max_queued_images 200\n",
           "ilf_serving 1\n",
           "ilf_requests_total{model=\"dit\",outcome=\"OK\"} 1\n",
           "ilf_requests_total{model=\"dit\",outcome=\"CANCELLED\"} 1\n",
           "ilf_requests_total{model=\"\",outcome=\"NOT_FOUND\"} 1\n",
           "ilf_request_seconds_sum{model=\"dit\",outcome=\"OK\"} 1.5\n",
           "ilf_queued_images 3\n",
           "ilf_queue_wait_seconds_count{model=\"dit\"} 1\n",
           "ilf_active_images{worker=\"1\"} 4\n",
           "ilf_preparation_seconds_count{model=\"dit\",worker=\"1\"} 1\n",
           "ilf_step_seconds_count{model=\"dit\",worker=\"1\"} 1\n",
           "ilf_batch_rows_sum{model=\"dit\",worker=\"1\"} 8\n",
           "ilf_batch_tokens_sum{model=\"dit\",worker=\"1\"} 512\n",
           "ilf_feedback_rows_total{model=\"dit\",worker=\"1\"} 2\n",
           "ilf_step_failures_total{code=\"INTERNAL\",worker=\"1\"} 1\n",
           "ilf_worker_busy_seconds_total{worker=\"1\"} 2\n",
           "ilf_device_memory_used_bytes{device=\"cuda:3\"} 7000000000\n",
           "ilf_device_memory_limit_bytes{device=\"cuda:3\"} 8000000000\n",
           "ilf_first_preview_seconds_count{model=\"dit\"} 1\n",
           "ilf_images_total{model=\"dit\"} 1\n",
           "ilf_block_evaluations_total{model=\"dit\"} 1000\n",
           "ilf_plain_block_evaluations_total{model=\"dit\"} 1120\n",
           "ilf_block_evaluations_saved_total{model=\"dit\"} 120\n",
           "ilf_previews_encoded_total{model=\"dit\"} 1\n",
           "ilf_previews_skipped_total{model=\"dit\"} 1\n",
           "ilf_previews_sent_total{model=\"dit\"} 1\n",
           "ilf_previews_dropped_total{model=\"dit\"} 5\n",
           "ilf_streams_stalled_total{model=\"dit\"} 1\n",
           "ilf_open_streams 1\n",
           "ilf_tls_certificate_expiration_timestamp_seconds 2000000000\n",
       }) {
    EXPECT_THAT(text, HasSubstr(line));
  }
}

TEST(ServerMetricsTest, SecondsAreCountedFromTenMillisecondsToTenMinutes) {
  ServerMetrics metrics("1");
  ReportEverything(&metrics);
  const std::string text = Scrape(metrics);
  EXPECT_THAT(text, HasSubstr("ilf_step_seconds_bucket{model=\"dit\",worker=\"1\",le=\"0.01\"} 0"));
  EXPECT_THAT(text, HasSubstr("ilf_step_seconds_bucket{model=\"dit\",worker=\"1\",le=\"0.05\"} 1"));
  EXPECT_THAT(text, HasSubstr("ilf_step_seconds_bucket{model=\"dit\",worker=\"1\",le=\"600\"} 1"));
}

TEST(ServerMetricsTest, NamesFollowTheConventionsOfPrometheus) {
  ServerMetrics metrics("1");
  ReportEverything(&metrics);
  for (const prometheus::MetricFamily& family : metrics.registry()->Collect()) {
    EXPECT_THAT(family.name, testing::MatchesRegex("ilf_[a-z_]+"));
    EXPECT_FALSE(family.help.empty()) << family.name;
    const bool counter = family.type == prometheus::MetricType::Counter;
    EXPECT_EQ(family.name.ends_with("_total"), counter) << family.name;
  }
}

}  // namespace
}  // namespace ilf
