#include "client/command/interrupt_watcher.h"

#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

namespace ilf {
namespace {

sigset_t Interrupts() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  return signals;
}

}  // namespace

InterruptWatcher::InterruptWatcher() {
  const sigset_t signals = Interrupts();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signals_ = signalfd(-1, &signals, SFD_CLOEXEC);
  wake_ = eventfd(0, EFD_CLOEXEC);
  thread_ = std::thread([this] { Watch(); });
}

InterruptWatcher::~InterruptWatcher() {
  eventfd_write(wake_, 1);
  thread_.join();
  close(wake_);
  close(signals_);
}

void InterruptWatcher::Watch() {
  pollfd waiting[] = {{signals_, POLLIN, 0}, {wake_, POLLIN, 0}};
  while (true) {
    if (poll(waiting, 2, -1) < 0) continue;
    if (waiting[1].revents != 0) return;
    signalfd_siginfo received;
    if (read(signals_, &received, sizeof(received)) != sizeof(received)) return;
    if (stop_.stop_requested()) _exit(128 + static_cast<int>(received.ssi_signo));
    stop_.request_stop();
  }
}

}  // namespace ilf
