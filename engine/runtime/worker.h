// The thread of one device.
#pragma once

#include <memory>
#include <thread>

#include "engine/api/step_runner.h"
#include "engine/runtime/work_queue.h"
#include "engine/runtime/worker_core.h"

namespace ilf {

// Runs a WorkerCore until the WorkQueue is stopped; sleeps while there is nothing to do.
class Worker {
 public:
  // `runner` and `work` must outlive this.
  Worker(std::unique_ptr<WorkerCore> core, StepRunner* runner, WorkQueue* work);
  // Waits for the thread: call WorkQueue::Stop() first.
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  void Start();
  void Join();

  // For tests that are the worker's thread themselves, instead of Start().
  WorkerCore& core() { return *core_; }

 private:
  void Run();

  const std::unique_ptr<WorkerCore> core_;
  StepRunner* const runner_;
  WorkQueue* const work_;
  std::thread thread_;
};

}  // namespace ilf
