// The engine as the gRPC front sees it.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "engine/api/generation.h"
#include "engine/api/model_info.h"

namespace ilf {

// Receives the events of one request, one call at a time, in order: from the engine's own threads,
// and from within Submit, Cancel and Drain, so hold no lock there that the sink takes. A call
// stores what it was given and returns: it must not block, nor call the engine. The engine lets go
// of the sink after OnDone.
class EventSink {
 public:
  virtual ~EventSink() = default;
  virtual void OnEvent(Event event) = 0;
  // The last call, exactly once after a successful Submit. OK follows CompletedEvent; otherwise why
  // the request ended: CANCELLED, DEADLINE_EXCEEDED, UNAVAILABLE (shutdown), INTERNAL (a failed
  // step), ...
  virtual void OnDone(absl::Status status) = 0;
};

using RequestHandle = uint64_t;  // never reused within a process

// Thread-safe.
class Engine {
 public:
  virtual ~Engine() = default;

  virtual const std::vector<ModelInfo>& Models() const = 0;

  // Takes the request or refuses it whole, without waiting for a worker:
  //   INVALID_ARGUMENT    more images than the queue ever has room for
  //   RESOURCE_EXHAUSTED  the queue has no room for all its images; see RetryDelay()
  //   DEADLINE_EXCEEDED   it cannot finish before its deadline
  //   UNAVAILABLE         the engine is draining
  // After an error the sink is never called. QueuedEvent may arrive before Submit returns.
  virtual absl::StatusOr<RequestHandle> Submit(GenerationRequest request,
                                               std::shared_ptr<EventSink> sink) = 0;

  // Ends the request with `why`, an error: CANCELLED, or DEADLINE_EXCEEDED where that is what made
  // the caller give up. Its images leave before the next step. No effect once it is done.
  virtual void Cancel(RequestHandle request, const absl::Status& why) = 0;

  // How long a refused caller should wait before it tries again; > 0.
  virtual absl::Duration RetryDelay() const = 0;

  // Refuses new requests from now on and waits until the running ones are done or `deadline` has
  // passed; what is left then is ended with UNAVAILABLE. Blocks. The destructor ends what is left
  // in the same way, and waits for the steps that are under way.
  virtual void Drain(absl::Time deadline) = 0;

  // False while a device has not answered for longer than the watchdog allows, or has failed too
  // many times in a row.
  virtual bool Healthy() const = 0;
};

}  // namespace ilf
