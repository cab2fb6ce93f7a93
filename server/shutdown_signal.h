// SIGTERM and SIGINT as something to wait for.
#pragma once

#include <memory>
#include <string>

namespace ilf {

// Made once, by the main thread before it starts any other: the signals are blocked from then on in
// every thread, and a thread of this class takes them. It lives until the process ends.
class ShutdownSignal {
 public:
  // Until BeginServing a signal ends the process at once, with exit code 0: nothing has been
  // promised to any client yet.
  ShutdownSignal();

  // From now on the first signal makes Wait return; a second one ends the process at once, with
  // exit code 128 plus its number.
  void BeginServing();

  // Blocks until a signal has come; its name.
  std::string Wait();

 private:
  struct State;
  const std::shared_ptr<State> state_;
};

}  // namespace ilf
