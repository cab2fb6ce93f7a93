// Counts what the streams report.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>

#include "server/stream_observer.h"

namespace ilf {

// Thread-safe.
class RecordingStreamObserver final : public StreamObserver {
 public:
  int open_streams() const { return open_streams_; }
  int64_t previews_sent() const { return previews_sent_; }
  int64_t previews_dropped() const { return previews_dropped_; }
  int streams_stalled() const { return streams_stalled_; }

  void RequestRefused(const std::string&, absl::StatusCode) override {}
  void StreamOpened() override { ++open_streams_; }
  void StreamClosed() override { --open_streams_; }
  void PreviewSent(const std::string&) override { ++previews_sent_; }
  void PreviewsDropped(const std::string&, int64_t previews) override {
    previews_dropped_ += previews;
  }
  void StreamStalled(const std::string&) override { ++streams_stalled_; }

 private:
  std::atomic<int> open_streams_ = 0;
  std::atomic<int64_t> previews_sent_ = 0;
  std::atomic<int64_t> previews_dropped_ = 0;
  std::atomic<int> streams_stalled_ = 0;
};

}  // namespace ilf
