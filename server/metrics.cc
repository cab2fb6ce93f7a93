#include "server/metrics.h"

#include <algorithm>

#include "server/error_details.h"

namespace ilf {
namespace {

const prometheus::Histogram::BucketBoundaries& RowsBuckets() {
  static const prometheus::Histogram::BucketBoundaries buckets = {
      1, 2, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 256, 512, 1024};
  return buckets;
}

const prometheus::Histogram::BucketBoundaries& TokensBuckets() {
  static const prometheus::Histogram::BucketBoundaries buckets = {
      64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768, 65536, 131072, 262144, 1048576};
  return buckets;
}

std::string WorkerLabel(int worker) { return std::to_string(worker); }

}  // namespace

const prometheus::Histogram::BucketBoundaries& SecondsBuckets() {
  static const prometheus::Histogram::BucketBoundaries buckets = {
      0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600};
  return buckets;
}

ServerMetrics::Counters& ServerMetrics::AddCounters(const std::string& name,
                                                    const std::string& help) {
  return prometheus::BuildCounter().Name(name).Help(help).Register(*registry_);
}

ServerMetrics::Gauges& ServerMetrics::AddGauges(const std::string& name, const std::string& help) {
  return prometheus::BuildGauge().Name(name).Help(help).Register(*registry_);
}

ServerMetrics::Histograms& ServerMetrics::AddHistograms(const std::string& name,
                                                        const std::string& help) {
  return prometheus::BuildHistogram().Name(name).Help(help).Register(*registry_);
}

ServerMetrics::ServerMetrics(const std::string& version)
    : requests_(AddCounters("ilf_requests_total", "Generate calls that ended, by outcome")),
      request_seconds_(AddHistograms("ilf_request_seconds",
                                     "Time from submit to the end of a request, by outcome")),
      queued_images_(AddGauges("ilf_queued_images", "Images that wait for a worker").Add({})),
      queue_wait_seconds_(AddHistograms("ilf_queue_wait_seconds",
                                        "Time that an image waited until a worker took it up")),
      active_images_(AddGauges("ilf_active_images", "Images that a worker has under way")),
      preparation_seconds_(AddHistograms(
          "ilf_preparation_seconds",
          "Time to prepare images that were taken up together, their prompts' encoding")),
      step_seconds_(AddHistograms("ilf_step_seconds", "Time of one step of a batch")),
      batch_rows_(AddHistograms("ilf_batch_rows", "Transformer rows of one step of a batch")),
      batch_tokens_(AddHistograms("ilf_batch_tokens", "Tokens of all rows of one step of a batch")),
      feedback_rows_(AddCounters("ilf_feedback_rows_total",
                                 "Transformer rows that ran Inner Loop Feedback, by step")),
      step_failures_(AddCounters("ilf_step_failures_total", "Steps that failed, by status code")),
      worker_busy_seconds_(
          AddCounters("ilf_worker_busy_seconds_total", "Time that a worker spent on its images")),
      device_memory_used_bytes_(
          AddGauges("ilf_device_memory_used_bytes",
                    "Memory of a device that is taken; of the CPU, by this process")),
      device_memory_limit_bytes_(
          AddGauges("ilf_device_memory_limit_bytes",
                    "Memory of a device; of the CPU, what this process may have")),
      first_preview_seconds_(AddHistograms("ilf_first_preview_seconds",
                                           "Time from submit to the first preview of a request")),
      images_(AddCounters("ilf_images_total", "Images made")),
      block_evaluations_(AddCounters("ilf_block_evaluations_total",
                                     "Transformer blocks run for finished images, per row")),
      plain_block_evaluations_(
          AddCounters("ilf_plain_block_evaluations_total",
                      "Transformer blocks that plain sampling of the same quality would have run")),
      block_evaluations_saved_(AddCounters(
          "ilf_block_evaluations_saved_total",
          "Transformer blocks that feedback saved against plain sampling of the same quality")),
      previews_encoded_(AddCounters("ilf_previews_encoded_total", "Previews made")),
      previews_skipped_(
          AddCounters("ilf_previews_skipped_total",
                      "Previews not made because the one before was still being encoded")),
      previews_sent_(AddCounters("ilf_previews_sent_total", "Previews sent")),
      previews_dropped_(AddCounters("ilf_previews_dropped_total",
                                    "Previews that a newer one overtook before they were sent")),
      streams_stalled_(AddCounters("ilf_streams_stalled_total",
                                   "Streams cancelled because their client did not read")),
      prompts_(AddCounters("ilf_prompts_total",
                           "Prompts of images that began, by whether their encoding was cached")),
      open_streams_(AddGauges("ilf_open_streams", "Generate calls under way").Add({})),
      serving_(AddGauges("ilf_serving", "1 while the health service says SERVING").Add({})),
      tls_certificate_expiration_(
          AddGauges("ilf_tls_certificate_expiration_timestamp_seconds",
                    "Until when the TLS certificate is valid, in Unix time; absent without TLS")) {
  AddGauges("ilf_build_info", "Always 1; what was built").Add({{"version", version}}).Set(1);
}

void ServerMetrics::Configured(const ServerOptions& options) {
  Gauges& workers = AddGauges("ilf_worker_info", "Always 1; the device of each worker");
  for (size_t worker = 0; worker < options.devices.size(); ++worker) {
    workers
        .Add({{"worker", WorkerLabel(static_cast<int>(worker))},
              {"device", options.devices[worker]}})
        .Set(1);
  }
  AddGauges("ilf_max_batch_rows", "Transformer rows that a step may have")
      .Add({})
      .Set(options.max_batch_rows);
  AddGauges("ilf_max_batch_tokens", "Tokens that the rows of a step may have")
      .Add({})
      .Set(options.max_batch_tokens);
  AddGauges("ilf_max_queued_images", "Images that may wait for a worker")
      .Add({})
      .Set(options.max_queued_images);
}

void ServerMetrics::Serving(bool serving) { serving_.Set(serving ? 1 : 0); }

void ServerMetrics::TlsCertificateExpires(absl::Time expiry) {
  tls_certificate_expiration_.Add({}).Set(static_cast<double>(absl::ToUnixSeconds(expiry)));
}

void ServerMetrics::RequestEnded(const std::string& model, absl::StatusCode outcome,
                                 absl::Duration end_to_end) {
  const prometheus::Labels labels = {{"model", model}, {"outcome", StatusCodeName(outcome)}};
  requests_.Add(labels).Increment();
  request_seconds_.Add(labels, SecondsBuckets()).Observe(absl::ToDoubleSeconds(end_to_end));
}

void ServerMetrics::PromptRead(const std::string& model, bool cached) {
  prompts_.Add({{"model", model}, {"cached", cached ? "true" : "false"}}).Increment();
}

void ServerMetrics::QueueLength(int images) { queued_images_.Set(images); }

void ServerMetrics::QueueWait(const std::string& model, absl::Duration wait) {
  queue_wait_seconds_.Add({{"model", model}}, SecondsBuckets())
      .Observe(absl::ToDoubleSeconds(wait));
}

void ServerMetrics::ActiveImages(int worker, int images) {
  active_images_.Add({{"worker", WorkerLabel(worker)}}).Set(images);
}

void ServerMetrics::StepDone(const StepReport& report) {
  const prometheus::Labels labels = {{"model", report.model},
                                     {"worker", WorkerLabel(report.worker)}};
  step_seconds_.Add(labels, SecondsBuckets()).Observe(absl::ToDoubleSeconds(report.duration));
  batch_rows_.Add(labels, RowsBuckets()).Observe(report.rows);
  batch_tokens_.Add(labels, TokensBuckets()).Observe(static_cast<double>(report.tokens));
  feedback_rows_.Add(labels).Increment(report.feedback_rows);
}

void ServerMetrics::StepFailed(int worker, absl::StatusCode code) {
  step_failures_.Add({{"worker", WorkerLabel(worker)}, {"code", StatusCodeName(code)}}).Increment();
}

void ServerMetrics::FirstPreview(const std::string& model, absl::Duration since_submit) {
  first_preview_seconds_.Add({{"model", model}}, SecondsBuckets())
      .Observe(absl::ToDoubleSeconds(since_submit));
}

void ServerMetrics::ImageDone(const std::string& model, int64_t block_evaluations,
                              int64_t plain_block_evaluations) {
  const prometheus::Labels labels = {{"model", model}};
  images_.Add(labels).Increment();
  block_evaluations_.Add(labels).Increment(static_cast<double>(block_evaluations));
  plain_block_evaluations_.Add(labels).Increment(static_cast<double>(plain_block_evaluations));
  block_evaluations_saved_.Add(labels).Increment(
      static_cast<double>(std::max<int64_t>(0, plain_block_evaluations - block_evaluations)));
}

void ServerMetrics::PreviewEncoded(const std::string& model) {
  previews_encoded_.Add({{"model", model}}).Increment();
}

void ServerMetrics::PreviewSkipped(const std::string& model) {
  previews_skipped_.Add({{"model", model}}).Increment();
}

void ServerMetrics::WorkerBusy(int worker, absl::Duration busy) {
  worker_busy_seconds_.Add({{"worker", WorkerLabel(worker)}})
      .Increment(absl::ToDoubleSeconds(busy));
}

void ServerMetrics::ImagesPrepared(int worker, const std::string& model, absl::Duration duration) {
  preparation_seconds_.Add({{"model", model}, {"worker", WorkerLabel(worker)}}, SecondsBuckets())
      .Observe(absl::ToDoubleSeconds(duration));
}

void ServerMetrics::MemoryUsed(const DeviceMemory& memory) {
  const prometheus::Labels labels = {{"device", memory.device}};
  device_memory_used_bytes_.Add(labels).Set(static_cast<double>(memory.used_bytes));
  device_memory_limit_bytes_.Add(labels).Set(static_cast<double>(memory.limit_bytes));
}

void ServerMetrics::RequestRefused(const std::string& model, absl::StatusCode code) {
  requests_.Add({{"model", model}, {"outcome", StatusCodeName(code)}}).Increment();
}

void ServerMetrics::StreamOpened() { open_streams_.Increment(); }

void ServerMetrics::StreamClosed() { open_streams_.Decrement(); }

void ServerMetrics::PreviewSent(const std::string& model) {
  previews_sent_.Add({{"model", model}}).Increment();
}

void ServerMetrics::PreviewsDropped(const std::string& model, int64_t previews) {
  previews_dropped_.Add({{"model", model}}).Increment(static_cast<double>(previews));
}

void ServerMetrics::StreamStalled(const std::string& model) {
  streams_stalled_.Add({{"model", model}}).Increment();
}

}  // namespace ilf
