#include "tests/integration/child_process.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "absl/strings/match.h"
#include "engine/base/check.h"

extern char** environ;

namespace ilf {

ChildProcess::ChildProcess(const std::vector<std::string>& arguments, int inherited) {
  int output[2];
  Check(pipe2(output, O_CLOEXEC) == 0, "no pipe");
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, output[1], STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, output[1], STDERR_FILENO);
  if (inherited >= 0) posix_spawn_file_actions_adddup2(&actions, inherited, inherited);
  std::vector<char*> argv;
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  const int error = posix_spawn(&pid_, argv[0], &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  close(output[1]);
  Check(error == 0, "the program cannot be started");
  reader_ = std::thread([this, fd = output[0]] { ReadOutput(fd); });
}

ChildProcess::~ChildProcess() {
  if (exit_code_ < 0) {
    Signal(SIGKILL);
    Wait();
  }
}

void ChildProcess::Signal(int signal) { kill(pid_, signal); }

int ChildProcess::Wait() {
  if (exit_code_ >= 0) return exit_code_;
  int status = 0;
  Check(waitpid(pid_, &status, 0) == pid_, "waitpid failed");
  exit_code_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  reader_.join();
  return exit_code_;
}

bool ChildProcess::AwaitLine(const std::string& text) {
  absl::MutexLock lock(&mutex_);
  const auto written = [&]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
    for (const std::string& line : lines_) {
      if (absl::StrContains(line, text)) return true;
    }
    return false;
  };
  const auto ready = [&]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return closed_ || written(); };
  mutex_.Await(absl::Condition(&ready));
  return written();
}

std::vector<std::string> ChildProcess::Lines() const {
  absl::MutexLock lock(&mutex_);
  return lines_;
}

void ChildProcess::ReadOutput(int fd) {
  std::string line;
  char buffer[4096];
  for (ssize_t n; (n = read(fd, buffer, sizeof(buffer))) > 0;) {
    absl::MutexLock lock(&mutex_);
    for (ssize_t i = 0; i < n; ++i) {
      if (buffer[i] != '\n') {
        line += buffer[i];
        continue;
      }
      lines_.push_back(std::move(line));
      line.clear();
    }
  }
  close(fd);
  absl::MutexLock lock(&mutex_);
  if (!line.empty()) lines_.push_back(std::move(line));
  closed_ = true;
}

}  // namespace ilf
