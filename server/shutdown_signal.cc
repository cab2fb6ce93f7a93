#include "server/shutdown_signal.h"

#include <pthread.h>
#include <signal.h>

#include <cstdlib>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "engine/base/check.h"
#include "spdlog/spdlog.h"

namespace ilf {
namespace {

sigset_t StopSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  return signals;
}

const char* Name(int signal) { return signal == SIGTERM ? "SIGTERM" : "SIGINT"; }

[[noreturn]] void ExitNow(int exit_code, int signal) {
  spdlog::info("stopped at once: {}", Name(signal));
  spdlog::default_logger()->flush();
  std::_Exit(exit_code);
}

}  // namespace

struct ShutdownSignal::State {
  absl::Mutex mutex;
  bool serving ABSL_GUARDED_BY(mutex) = false;
  int signal ABSL_GUARDED_BY(mutex) = 0;

  void Take(int taken) {
    absl::MutexLock lock(&mutex);
    if (!serving) ExitNow(0, taken);
    if (signal != 0) ExitNow(128 + taken, taken);
    signal = taken;
  }
};

ShutdownSignal::ShutdownSignal() : state_(std::make_shared<State>()) {
  const sigset_t signals = StopSignals();
  Check(pthread_sigmask(SIG_BLOCK, &signals, nullptr) == 0, "signals cannot be blocked");
  std::thread([state = state_, signals] {
    while (true) {
      int signal = 0;
      if (sigwait(&signals, &signal) == 0) state->Take(signal);
    }
  }).detach();
}

void ShutdownSignal::BeginServing() {
  absl::MutexLock lock(&state_->mutex);
  state_->serving = true;
}

std::string ShutdownSignal::Wait() {
  absl::MutexLock lock(&state_->mutex);
  const auto came = [this]()
                        ABSL_SHARED_LOCKS_REQUIRED(state_->mutex) { return state_->signal != 0; };
  state_->mutex.Await(absl::Condition(&came));
  return Name(state_->signal);
}

}  // namespace ilf
