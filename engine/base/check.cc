#include "engine/base/check.h"

#include <cstdio>
#include <cstdlib>

namespace ilf {

void Check(bool condition, const char* message, std::source_location where) {
  if (condition) return;
  std::fprintf(stderr, "%s:%u: check failed: %s\n", where.file_name(), where.line(), message);
  std::abort();
}

}  // namespace ilf
