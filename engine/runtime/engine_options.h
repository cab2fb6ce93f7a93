// How the pool is set up.
#pragma once

#include "absl/time/time.h"
#include "engine/batching/admission_queue.h"
#include "engine/batching/cost_model.h"
#include "engine/batching/step_batcher.h"

namespace ilf {

struct WorkerOptions {
  // Images that one worker steps. With guidance on, batching.max_batch_rows / 2 of them share a
  // pass, as far as batching.max_batch_tokens allows.
  int max_active_images = 16;
  // Images of one worker that wait for their decode; with that many it takes up no new ones.
  int max_finishing_images = 32;
  // While a worker has images to step, it takes up no more new ones between two steps than take
  // that long, by what the preparation of the latest ones took (one is always taken up: encoding
  // its prompt may take longer).
  absl::Duration max_begin_time = absl::Milliseconds(100);
  // The observer is told of the device's memory no more often than that.
  absl::Duration memory_report_interval = absl::Seconds(1);
};

struct EngineOptions {
  AdmissionOptions admission;
  CostOptions cost;
  BatcherOptions batching;
  WorkerOptions worker;
  // A worker whose device has not answered for so long makes the engine unhealthy.
  absl::Duration watchdog_timeout = absl::Minutes(2);
  // A worker whose device has failed so many times in a row, at steps or at images to begin, makes
  // the engine unhealthy for as long as it rests. It leaves the images to the others meanwhile, and
  // then takes one at a time until a step succeeds. What does not fit into memory does not count:
  // that is the request's size.
  int max_failures = 3;
  absl::Duration failure_rest = absl::Seconds(30);
};

}  // namespace ilf
