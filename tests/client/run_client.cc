#include "tests/client/run_client.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <iterator>

#include "tests/testing/temp_path.h"

namespace ilf {

std::string ReadAll(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

int ExitCodeOf(pid_t child) {
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void ExecClient(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), ILF_CLIENT_PATH);
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  execv(argv[0], argv.data());
  _exit(127);
}

Outcome RunClient(const std::vector<std::string>& arguments, const std::filesystem::path& folder) {
  const std::string out = TestPath("stdout.txt");
  const std::string err = TestPath("stderr.txt");
  const pid_t child = fork();
  if (child == 0) {
    dup2(open(out.c_str(), O_CREAT | O_TRUNC | O_WRONLY, 0600), STDOUT_FILENO);
    dup2(open(err.c_str(), O_CREAT | O_TRUNC | O_WRONLY, 0600), STDERR_FILENO);
    if (chdir(folder.c_str()) != 0) _exit(127);
    ExecClient(arguments);
  }
  const Outcome outcome = {ExitCodeOf(child), ReadAll(out), ReadAll(err)};
  std::filesystem::remove(out);
  std::filesystem::remove(err);
  return outcome;
}

}  // namespace ilf
