#include "engine/runtime/worker.h"

#include <utility>

namespace ilf {

Worker::Worker(std::unique_ptr<WorkerCore> core, StepRunner* runner, WorkQueue* work)
    : core_(std::move(core)), runner_(runner), work_(work) {}

Worker::~Worker() { Join(); }

void Worker::Start() {
  thread_ = std::thread([this] { Run(); });
}

void Worker::Join() {
  if (thread_.joinable()) thread_.join();
}

void Worker::Run() {
  runner_->PrepareThread();
  bool stopped = false;
  while (!stopped) {
    stopped = work_->Stopped();  // before the last turn, which lets go of what has ended
    const uint64_t epoch = work_->Epoch();
    if (!core_->RunOnce() && !stopped) work_->AwaitEpochAfter(epoch);
  }
}

}  // namespace ilf
