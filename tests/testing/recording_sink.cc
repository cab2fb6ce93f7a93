#include "tests/testing/recording_sink.h"

#include "engine/base/check.h"

namespace ilf {

void RecordingSink::OnEvent(Event event) {
  Check(!in_call_.exchange(true), "the engine makes one call at a time");
  {
    absl::MutexLock lock(&mutex_);
    Check(!done_, "no event follows OnDone");
    events_.push_back(std::move(event));
  }
  in_call_ = false;
}

void RecordingSink::OnDone(absl::Status status) {
  Check(!in_call_.exchange(true), "the engine makes one call at a time");
  {
    absl::MutexLock lock(&mutex_);
    Check(!done_, "OnDone comes once");
    done_ = true;
    status_ = std::move(status);
  }
  in_call_ = false;
}

std::vector<Event> RecordingSink::events() const {
  absl::MutexLock lock(&mutex_);
  return events_;
}

std::vector<int> RecordingSink::PreviewSteps() const {
  std::vector<int> steps;
  for (const PreviewEvent& preview : EventsOf<PreviewEvent>()) steps.push_back(preview.step);
  return steps;
}

bool RecordingSink::done() const {
  absl::MutexLock lock(&mutex_);
  return done_;
}

absl::Status RecordingSink::status() const {
  absl::MutexLock lock(&mutex_);
  Check(done_, "the request is done");
  return status_;
}

bool RecordingSink::AwaitDone() const {
  absl::MutexLock lock(&mutex_);
  return mutex_.AwaitWithTimeout(absl::Condition(&done_), absl::Minutes(1));
}

}  // namespace ilf
