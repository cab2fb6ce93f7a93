#include "tests/server/scripted_engine.h"

#include <algorithm>

#include "engine/base/check.h"

namespace ilf {
namespace {

// Far longer than anything takes; only a broken test waits for so long.
constexpr absl::Duration kPatience = absl::Minutes(1);

}  // namespace

ScriptedEngine::Submission ScriptedEngine::AwaitSubmission() {
  absl::MutexLock lock(&mutex_);
  const auto came = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return !waiting_.empty(); };
  Check(mutex_.AwaitWithTimeout(absl::Condition(&came), kPatience), "no request came");
  Submission submission = std::move(waiting_.front());
  waiting_.pop_front();
  return submission;
}

bool ScriptedEngine::AwaitCancelled(int requests) {
  absl::MutexLock lock(&mutex_);
  const auto reached = [&]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return cancelled_ >= requests; };
  return mutex_.AwaitWithTimeout(absl::Condition(&reached), kPatience);
}

bool ScriptedEngine::AwaitDraining() {
  absl::MutexLock lock(&mutex_);
  return mutex_.AwaitWithTimeout(absl::Condition(&draining_), kPatience);
}

void ScriptedEngine::End(const Submission& submission, absl::Status status) {
  if (const auto sink = TakeSink(submission.handle)) sink->OnDone(std::move(status));
}

void ScriptedEngine::Refuse(absl::Status status) {
  absl::MutexLock lock(&mutex_);
  refusal_ = std::move(status);
}

void ScriptedEngine::SetHealthy(bool healthy) {
  absl::MutexLock lock(&mutex_);
  healthy_ = healthy;
}

bool ScriptedEngine::Healthy() const {
  absl::MutexLock lock(&mutex_);
  return healthy_;
}

absl::StatusOr<RequestHandle> ScriptedEngine::Submit(GenerationRequest request,
                                                     std::shared_ptr<EventSink> sink) {
  absl::MutexLock lock(&mutex_);
  if (!refusal_.ok()) return refusal_;
  const RequestHandle handle = ++last_handle_;
  running_.emplace_back(handle, sink);
  waiting_.push_back({handle, std::move(request), std::move(sink)});
  return handle;
}

void ScriptedEngine::Cancel(RequestHandle request, const absl::Status& why) {
  const auto sink = TakeSink(request);
  if (sink == nullptr) return;
  {
    absl::MutexLock lock(&mutex_);
    ++cancelled_;
  }
  sink->OnDone(why);
}

void ScriptedEngine::Drain(absl::Time deadline) {
  std::vector<std::pair<RequestHandle, std::shared_ptr<EventSink>>> left;
  {
    absl::MutexLock lock(&mutex_);
    draining_ = true;
    const auto idle = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return running_.empty(); };
    mutex_.AwaitWithDeadline(absl::Condition(&idle), deadline);
    left.swap(running_);
  }
  for (const auto& [handle, sink] : left) sink->OnDone(absl::UnavailableError("shutting down"));
}

std::shared_ptr<EventSink> ScriptedEngine::TakeSink(RequestHandle request) {
  absl::MutexLock lock(&mutex_);
  const auto found = std::find_if(running_.begin(), running_.end(),
                                  [&](const auto& entry) { return entry.first == request; });
  if (found == running_.end()) return nullptr;
  std::shared_ptr<EventSink> sink = std::move(found->second);
  running_.erase(found);
  return sink;
}

}  // namespace ilf
