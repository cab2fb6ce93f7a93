// One running Generate call, apart from gRPC: the engine's events come in, one response at a time
// goes out.
//
// Engine threads call OnEvent and OnDone, gRPC threads call WriteDone and Cancelled, the server's
// watch calls CancelIfStalled. Nothing here blocks, and the engine is never called with the mutex
// held, since it may hold its own while it calls in.
#pragma once

#include <optional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "engine/api/engine.h"
#include "engine/base/clock.h"
#include "ilf/v1/image_generation.pb.h"
#include "server/event_buffer.h"
#include "server/stream_observer.h"

namespace ilf {

// The call's way out. Calls come one at a time, under the stream's mutex, and must not call back
// into it.
class StreamTransport {
 public:
  virtual ~StreamTransport() = default;
  // Sends one response; `response` stays as it is until GenerateStream::WriteDone.
  virtual void Write(const v1::GenerateResponse* response) = 0;
  // Ends the call; comes once, with no write under way, and is the last call.
  virtual void Finish(const absl::Status& status) = 0;
  // Breaks the call off; GenerateStream::Cancelled follows, from another stack.
  virtual void Abort() = 0;
};

struct GenerateStreamOptions {
  EventBufferOptions buffer;
  absl::Duration write_stall_timeout;
};

// Thread-safe.
class GenerateStream final : public EventSink {
 public:
  struct Parts {
    Engine* engine;              // outlives the stream
    StreamTransport* transport;  // lives until its Finish has been called
    StreamObserver* observer;    // outlives the stream
    const Clock* clock;
  };

  // `deadline` of the call.
  GenerateStream(std::string request_id, std::string model, absl::Time deadline, const Parts& parts,
                 const GenerateStreamOptions& options);

  // What Engine::Submit answered; called once. An error ends the call.
  void Submitted(const absl::StatusOr<RequestHandle>& result) ABSL_LOCKS_EXCLUDED(mutex_);

  void OnEvent(Event event) override ABSL_LOCKS_EXCLUDED(mutex_);
  void OnDone(absl::Status status) override ABSL_LOCKS_EXCLUDED(mutex_);

  // The write under way has been accepted by the transport, or has failed: the client is gone.
  void WriteDone(bool ok) ABSL_LOCKS_EXCLUDED(mutex_);
  // The client, its deadline, or Abort ended the call.
  void Cancelled() ABSL_LOCKS_EXCLUDED(mutex_);

  // Aborts the call if its client has not accepted a response for write_stall_timeout.
  bool CancelIfStalled() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  void SendNext() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Abort() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status WhyCancelled() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const std::string model_;
  Engine* const engine_;
  StreamObserver* const observer_;
  const Clock* const clock_;
  const absl::Duration write_stall_timeout_;
  const absl::Time client_deadline_;  // from then on the client may end the call for lateness

  absl::Mutex mutex_;
  StreamTransport* transport_ ABSL_GUARDED_BY(mutex_);  // null once finished
  EventBuffer buffer_ ABSL_GUARDED_BY(mutex_);
  std::optional<RequestHandle> handle_ ABSL_GUARDED_BY(mutex_);
  std::optional<absl::Status> end_ ABSL_GUARDED_BY(mutex_);        // the engine's last word
  std::optional<absl::Status> cancelled_ ABSL_GUARDED_BY(mutex_);  // why
  bool aborted_ ABSL_GUARDED_BY(mutex_) = false;
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  v1::GenerateResponse outgoing_ ABSL_GUARDED_BY(mutex_);  // the response under way, while writing_
  absl::Time write_began_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace ilf
