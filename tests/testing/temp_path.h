// Where a test may write.
#pragma once

#include <algorithm>
#include <string>

#include <gtest/gtest.h>

namespace ilf {

// A path of the running test's own: test cases run side by side, each in a process.
inline std::string TestPath(const std::string& name) {
  const testing::TestInfo& test = *testing::UnitTest::GetInstance()->current_test_info();
  std::string path = std::string(test.test_suite_name()) + "." + test.name() + "." + name;
  std::replace(path.begin(), path.end(), '/', '_');
  return testing::TempDir() + "/" + path;
}

}  // namespace ilf
