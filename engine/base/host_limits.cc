#include "engine/base/host_limits.h"

#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"

namespace ilf {
namespace {

using Words = std::vector<absl::string_view>;

// "" when it cannot be read.
std::string ReadText(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

Words WordsOf(absl::string_view text) {
  return absl::StrSplit(text, absl::ByAnyChar(" \t\n"), absl::SkipEmpty());
}

// The number at `index`; absent where there is none, or a word such as "max", or nothing above 0.
std::optional<int64_t> Positive(const Words& words, size_t index) {
  int64_t value = 0;
  if (index >= words.size() || !absl::SimpleAtoi(words[index], &value) || value <= 0) {
    return std::nullopt;
  }
  return value;
}

template <typename T>
void Lower(std::optional<T>* least, std::optional<T> other) {
  if (other.has_value()) *least = std::min(least->value_or(*other), *other);
}

// The groups of this process and those above it, from the inside out, as folders of the hierarchy
// that is mounted at `mount`. `controller`: "" for version 2. A container that has a namespace of
// its own sees its group as "/"; one that has not sees a path that is not mounted in it, and its
// group at the mount's top, which is looked at too.
std::vector<std::string> GroupFolders(const std::string& root, const std::string& mount,
                                      absl::string_view controller) {
  std::vector<std::string> folders;
  const std::string groups = ReadText(absl::StrCat(root, "/proc/self/cgroup"));
  for (const absl::string_view line : absl::StrSplit(groups, '\n', absl::SkipEmpty())) {
    const Words fields = absl::StrSplit(line, absl::MaxSplits(':', 2));
    if (fields.size() != 3) continue;
    const Words controllers = absl::StrSplit(fields[1], ',');
    if (std::find(controllers.begin(), controllers.end(), controller) == controllers.end()) {
      continue;
    }
    absl::string_view path = fields[2];
    if (!absl::StartsWith(path, "/")) continue;
    for (; path.size() > 1; path = path.substr(0, path.rfind('/'))) {
      folders.push_back(absl::StrCat(mount, path));
    }
  }
  folders.push_back(mount);
  return folders;
}

std::optional<double> CpuQuota(const std::string& root) {
  std::optional<double> least;
  const auto lower = [&least](std::optional<int64_t> quota, std::optional<int64_t> period) {
    if (quota && period) Lower(&least, std::optional(static_cast<double>(*quota) / *period));
  };
  const std::string mount = absl::StrCat(root, "/sys/fs/cgroup");
  for (const std::string& group : GroupFolders(root, mount, "")) {
    const std::string text = ReadText(absl::StrCat(group, "/cpu.max"));
    const Words words = WordsOf(text);
    lower(Positive(words, 0), Positive(words, 1));
  }
  for (const std::string& group : GroupFolders(root, absl::StrCat(mount, "/cpu"), "cpu")) {
    const std::string quota = ReadText(absl::StrCat(group, "/cpu.cfs_quota_us"));
    const std::string period = ReadText(absl::StrCat(group, "/cpu.cfs_period_us"));
    lower(Positive(WordsOf(quota), 0), Positive(WordsOf(period), 0));
  }
  return least;
}

std::optional<int64_t> MachineMemory(const std::string& root) {
  const std::string text = ReadText(absl::StrCat(root, "/proc/meminfo"));
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    if (!absl::ConsumePrefix(&line, "MemTotal:")) continue;
    const std::optional<int64_t> kib = Positive(WordsOf(line), 0);
    if (kib) return *kib << 10;
  }
  return std::nullopt;
}

std::optional<int64_t> LeastMemory(const std::string& root) {
  std::optional<int64_t> least = MachineMemory(root);
  const auto lower = [&least](const std::string& path) {
    const std::string text = ReadText(path);
    Lower(&least, Positive(WordsOf(text), 0));
  };
  const std::string mount = absl::StrCat(root, "/sys/fs/cgroup");
  for (const std::string& group : GroupFolders(root, mount, "")) {
    lower(absl::StrCat(group, "/memory.max"));
  }
  for (const std::string& group : GroupFolders(root, absl::StrCat(mount, "/memory"), "memory")) {
    lower(absl::StrCat(group, "/memory.limit_in_bytes"));
  }
  return least;
}

}  // namespace

HostLimits ReadHostLimits(const std::string& root) {
  HostLimits limits;
  // Of the C++ library here: the CPUs of sched_getaffinity(2), so cpusets count.
  limits.cpus = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  if (const std::optional<double> quota = CpuQuota(root); quota && *quota < limits.cpus) {
    limits.cpus = std::max(1, static_cast<int>(*quota));
  }
  limits.memory_bytes = LeastMemory(root);
  return limits;
}

std::optional<int64_t> ResidentBytes(const std::string& root) {
  const std::string text = ReadText(absl::StrCat(root, "/proc/self/statm"));
  const std::optional<int64_t> pages = Positive(WordsOf(text), 1);
  if (!pages) return std::nullopt;
  return *pages * sysconf(_SC_PAGESIZE);
}

}  // namespace ilf
