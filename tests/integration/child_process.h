// A program run by a test: its exit code and what it writes, line by line.
#pragma once

#include <sys/types.h>

#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace ilf {

// Thread-safe. The destructor kills the program if it still runs.
class ChildProcess {
 public:
  // Starts `arguments`, the first of which is the path. Both output streams are kept, line by line.
  // File descriptor `inherited`, unless negative, is open in the program under the same number.
  explicit ChildProcess(const std::vector<std::string>& arguments, int inherited = -1);
  ~ChildProcess();
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  void Signal(int signal);
  // Waits for the program to end: its exit code, or 128 plus the signal that ended it.
  int Wait();

  // Waits until the program has written a line that contains `text`; false when it ended before.
  bool AwaitLine(const std::string& text) ABSL_LOCKS_EXCLUDED(mutex_);
  // What it has written so far; everything, after Wait.
  std::vector<std::string> Lines() const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  void ReadOutput(int fd) ABSL_LOCKS_EXCLUDED(mutex_);

  pid_t pid_ = -1;
  int exit_code_ = -1;  // -1 until Wait
  std::thread reader_;
  mutable absl::Mutex mutex_;
  std::vector<std::string> lines_ ABSL_GUARDED_BY(mutex_);
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace ilf
