// Prometheus metrics of the engine and of the streams. What each one means: its help text.
#pragma once

#include <memory>
#include <string>

#include "engine/api/observer.h"
#include "prometheus/counter.h"
#include "prometheus/family.h"
#include "prometheus/gauge.h"
#include "prometheus/histogram.h"
#include "prometheus/registry.h"
#include "server/server_options.h"
#include "server/stream_observer.h"

namespace ilf {

// Of every histogram of seconds: 10 ms to 10 min, from one step of a small model to a long queue.
const prometheus::Histogram::BucketBoundaries& SecondsBuckets();

// Thread-safe.
class ServerMetrics final : public Observer, public StreamObserver {
 public:
  // `version` goes into ilf_build_info.
  explicit ServerMetrics(const std::string& version);

  const std::shared_ptr<prometheus::Registry>& registry() const { return registry_; }

  // The devices and limits that the server was started with; called once.
  void Configured(const ServerOptions& options);
  // Whether the health service says SERVING.
  void Serving(bool serving);
  // Until when the TLS certificate is valid.
  void TlsCertificateExpires(absl::Time expiry);

  // Observer
  void RequestEnded(const std::string& model, absl::StatusCode outcome,
                    absl::Duration end_to_end) override;
  void QueueLength(int images) override;
  void QueueWait(const std::string& model, absl::Duration wait) override;
  void ActiveImages(int worker, int images) override;
  void StepDone(const StepReport& report) override;
  void StepFailed(int worker, absl::StatusCode code) override;
  void FirstPreview(const std::string& model, absl::Duration since_submit) override;
  void ImageDone(const std::string& model, int64_t block_evaluations,
                 int64_t plain_block_evaluations) override;
  void PreviewEncoded(const std::string& model) override;
  void PreviewSkipped(const std::string& model) override;
  void PromptRead(const std::string& model, bool cached) override;
  void WorkerBusy(int worker, absl::Duration busy) override;
  void ImagesPrepared(int worker, const std::string& model, absl::Duration duration) override;
  void MemoryUsed(const DeviceMemory& memory) override;

  // StreamObserver
  void RequestRefused(const std::string& model, absl::StatusCode code) override;
  void StreamOpened() override;
  void StreamClosed() override;
  void PreviewSent(const std::string& model) override;
  void PreviewsDropped(const std::string& model, int64_t previews) override;
  void StreamStalled(const std::string& model) override;

 private:
  using Counters = prometheus::Family<prometheus::Counter>;
  using Gauges = prometheus::Family<prometheus::Gauge>;
  using Histograms = prometheus::Family<prometheus::Histogram>;

  Counters& AddCounters(const std::string& name, const std::string& help);
  Gauges& AddGauges(const std::string& name, const std::string& help);
  Histograms& AddHistograms(const std::string& name, const std::string& help);

  const std::shared_ptr<prometheus::Registry> registry_ = std::make_shared<prometheus::Registry>();
  Counters& requests_;
  Histograms& request_seconds_;
  prometheus::Gauge& queued_images_;
  Histograms& queue_wait_seconds_;
  Gauges& active_images_;
  Histograms& preparation_seconds_;
  Histograms& step_seconds_;
  Histograms& batch_rows_;
  Histograms& batch_tokens_;
  Counters& feedback_rows_;
  Counters& step_failures_;
  Counters& worker_busy_seconds_;
  Gauges& device_memory_used_bytes_;
  Gauges& device_memory_limit_bytes_;
  Histograms& first_preview_seconds_;
  Counters& images_;
  Counters& block_evaluations_;
  Counters& plain_block_evaluations_;
  Counters& block_evaluations_saved_;
  Counters& previews_encoded_;
  Counters& previews_skipped_;
  Counters& previews_sent_;
  Counters& previews_dropped_;
  Counters& streams_stalled_;
  Counters& prompts_;
  prometheus::Gauge& open_streams_;
  prometheus::Gauge& serving_;
  Gauges& tls_certificate_expiration_;
};

}  // namespace ilf
