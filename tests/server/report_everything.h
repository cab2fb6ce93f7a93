// Gives every metric of the engine and of the streams a value.
#pragma once

#include "absl/time/time.h"
#include "server/metrics.h"

namespace ilf {

// One of everything.
inline void ReportEverything(ServerMetrics* metrics) {
  ServerOptions options;
  options.devices = {"cpu", "cuda:3"};
  options.max_batch_rows = 48;
  options.max_batch_tokens = 4800;
  options.max_queued_images = 200;
  metrics->Configured(options);
  metrics->Serving(true);
  metrics->TlsCertificateExpires(absl::FromUnixSeconds(2'000'000'000));
  metrics->RequestEnded("dit", absl::StatusCode::kOk, absl::Milliseconds(1500));
  metrics->RequestEnded("dit", absl::StatusCode::kCancelled, absl::Milliseconds(5));
  metrics->QueueLength(3);
  metrics->QueueWait("dit", absl::Milliseconds(20));
  metrics->ActiveImages(1, 4);
  metrics->StepDone({.worker = 1,
                     .model = "dit",
                     .images = 4,
                     .rows = 8,
                     .feedback_rows = 2,
                     .tokens = 512,
                     .duration = absl::Milliseconds(30)});
  metrics->StepFailed(1, absl::StatusCode::kInternal);
  metrics->FirstPreview("dit", absl::Milliseconds(200));
  metrics->ImageDone("dit", 1000, 1120);
  metrics->PreviewEncoded("dit");
  metrics->PreviewSkipped("dit");
  metrics->PromptRead("dit", true);
  metrics->WorkerBusy(1, absl::Seconds(2));
  metrics->ImagesPrepared(1, "dit", absl::Milliseconds(3));
  metrics->MemoryUsed(
      {.device = "cuda:3", .used_bytes = 7'000'000'000, .limit_bytes = 8'000'000'000});
  metrics->RequestRefused("", absl::StatusCode::kNotFound);
  metrics->StreamOpened();
  metrics->StreamOpened();
  metrics->StreamClosed();
  metrics->PreviewSent("dit");
  metrics->PreviewsDropped("dit", 5);
  metrics->StreamStalled("dit");
}

}  // namespace ilf
