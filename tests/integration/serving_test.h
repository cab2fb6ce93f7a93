// Tests against a server of their own that is serving.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/integration/server_process.h"

namespace ilf {

class ServingTest : public testing::Test {
 protected:
  // Starts the server, and waits until it serves.
  void Start(const std::vector<std::string>& flags = {}) {
    server_ = std::make_unique<ServerProcess>(flags);
    ASSERT_TRUE(server_->AwaitServing()) << testing::PrintToString(server_->process().Lines());
    client_ = server_->Client();
  }

  std::unique_ptr<ServerProcess> server_;
  TestClient client_;
};

}  // namespace ilf
