// What the server's streams tell whoever watches them (metrics): what the engine cannot see.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"

namespace ilf {

// Thread-safe; every call returns at once.
class StreamObserver {
 public:
  virtual ~StreamObserver() = default;

  // A request ended before the engine saw it. `model` is "" unless the server has it.
  virtual void RequestRefused(const std::string& model, absl::StatusCode code) = 0;
  virtual void StreamOpened() = 0;
  virtual void StreamClosed() = 0;
  virtual void PreviewSent(const std::string& model) = 0;
  virtual void PreviewsDropped(const std::string& model, int64_t previews) = 0;
  // The client accepted nothing for too long, or left too much unread; the stream has been
  // cancelled.
  virtual void StreamStalled(const std::string& model) = 0;
};

}  // namespace ilf
