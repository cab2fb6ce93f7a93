// Ctrl-C and SIGTERM: the first asks the call to stop, the second ends the program.
#pragma once

#include <stop_token>
#include <thread>

namespace ilf {

// Make one before any other thread is started: threads inherit the blocked signals. One per
// process.
class InterruptWatcher {
 public:
  InterruptWatcher();
  // Signals that come afterwards stay blocked: the program is about to end.
  ~InterruptWatcher();
  InterruptWatcher(const InterruptWatcher&) = delete;
  InterruptWatcher& operator=(const InterruptWatcher&) = delete;

  std::stop_token Token() const { return stop_.get_token(); }

 private:
  void Watch();

  std::stop_source stop_;
  int signals_;  // signalfd
  int wake_;     // eventfd: readable once the watcher should end
  std::thread thread_;
};

}  // namespace ilf
