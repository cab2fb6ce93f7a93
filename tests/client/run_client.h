// Runs the ilf-client executable.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <string>
#include <vector>

namespace ilf {

struct Outcome {
  int exit_code = -1;
  std::string out;
  std::string err;  // of a terminal: both
};

// Runs it in `folder`, without a terminal, until it ends.
Outcome RunClient(const std::vector<std::string>& arguments, const std::filesystem::path& folder);

// Becomes ilf-client; for a forked child.
[[noreturn]] void ExecClient(std::vector<std::string> arguments);

// Waits for the child.
int ExitCodeOf(pid_t child);

std::string ReadAll(const std::filesystem::path& path);

}  // namespace ilf
