#include "engine/runtime/work_queue.h"

#include <algorithm>
#include <utility>

#include "engine/base/check.h"
#include "engine/base/status_macros.h"

namespace ilf {
namespace {

constexpr absl::Duration kUnknownRetryDelay = absl::Seconds(1);
constexpr absl::Duration kMinRetryDelay = absl::Milliseconds(100);
constexpr absl::Duration kMaxRetryDelay = absl::Seconds(30);

}  // namespace

WorkQueue::WorkQueue(const EngineOptions& options, int workers, const Clock* clock,
                     Observer* observer)
    : options_(options),
      clock_(clock),
      observer_(observer),
      queue_(options.admission),
      costs_(options.cost),
      workers_(workers) {
  Check(workers >= 1, "an engine has a worker");
}

absl::StatusOr<QueuedEvent> WorkQueue::Admit(std::shared_ptr<RunningRequest> request) {
  const GenerationRequest& wanted = request->request();
  const absl::Time now = clock_->Now();
  absl::MutexLock lock(&mutex_);
  if (closed_) return absl::UnavailableError("the server is shutting down");
  ILF_ASSIGN_OR_RETURN(
      const QueuePosition position,
      queue_.Add({request->handle(), wanted.image_count, wanted.priority, wanted.deadline,
                  costs_.LeastRunTime(request->cost_key(), wanted, now)},
                 Load(now), now));
  const RequestHandle handle = request->handle();
  waiting_.emplace(handle, std::move(request));
  observer_->QueueLength(queue_.images());
  ++epoch_;
  return QueuedEvent{position.images_ahead, position.estimated_wait};
}

void WorkQueue::Remove(RequestHandle handle) {
  std::shared_ptr<RunningRequest> last;  // destroyed after the lock
  absl::MutexLock lock(&mutex_);
  if (queue_.Remove(handle)) {
    const auto found = waiting_.find(handle);
    last = std::move(found->second);
    waiting_.erase(found);
    observer_->QueueLength(queue_.images());
  }
  ++epoch_;
}

void WorkQueue::Close() {
  absl::MutexLock lock(&mutex_);
  closed_ = true;
}

absl::Duration WorkQueue::RetryDelay() const {
  absl::MutexLock lock(&mutex_);
  const PoolLoad load = Load(clock_->Now());
  if (load.run_time == absl::ZeroDuration()) return kUnknownRetryDelay;
  return std::clamp(load.run_time / load.slots, kMinRetryDelay, kMaxRetryDelay);
}

bool WorkQueue::Healthy() const {
  const absl::Time now = clock_->Now();
  absl::MutexLock lock(&mutex_);
  return std::none_of(workers_.begin(), workers_.end(), [&](const Worker& worker) {
    return Stuck(worker, now) || now < worker.rests_until;
  });
}

std::optional<TakenImage> WorkQueue::Take(int worker) {
  const absl::Time now = clock_->Now();
  absl::MutexLock lock(&mutex_);
  int& active = workers_[worker].active;
  if (active >= FairShare(worker, now)) return std::nullopt;
  const std::optional<WaitingImage> image = queue_.Take(now);
  if (!image.has_value()) return std::nullopt;
  ++active;
  const auto found = waiting_.find(image->handle);
  TakenImage taken{found->second, image->image_index};
  const GenerationRequest& request = taken.request->request();
  if (taken.image_index + 1 == request.image_count) waiting_.erase(found);
  observer_->QueueLength(queue_.images());
  observer_->QueueWait(request.model, image->waited);
  observer_->ActiveImages(worker, active);
  return taken;
}

void WorkQueue::Left(int worker) {
  absl::MutexLock lock(&mutex_);
  int& active = workers_[worker].active;
  --active;
  observer_->ActiveImages(worker, active);
}

std::vector<std::shared_ptr<RunningRequest>> WorkQueue::TakeLate() {
  const absl::Time now = clock_->Now();
  std::vector<std::shared_ptr<RunningRequest>> late;
  absl::MutexLock lock(&mutex_);
  for (const RequestHandle handle : queue_.DropLate(now)) {
    const auto found = waiting_.find(handle);
    late.push_back(std::move(found->second));
    waiting_.erase(found);
  }
  if (!late.empty()) observer_->QueueLength(queue_.images());
  return late;
}

void WorkQueue::CallBegan(int worker) {
  const absl::Time now = clock_->Now();
  absl::MutexLock lock(&mutex_);
  workers_[worker].call_began = now;
}

void WorkQueue::CallEnded(int worker) {
  absl::MutexLock lock(&mutex_);
  workers_[worker].call_began = absl::InfiniteFuture();
}

void WorkQueue::AddFailure(int worker) {
  const absl::Time now = clock_->Now();
  absl::MutexLock lock(&mutex_);
  Worker& failed = workers_[worker];
  ++failed.failures;
  if (Failing(failed)) failed.rests_until = now + options_.failure_rest;
}

void WorkQueue::AddStep(int worker, const std::vector<StepCost>& costs) {
  const absl::Time now = clock_->Now();
  absl::MutexLock lock(&mutex_);
  workers_[worker].failures = 0;
  workers_[worker].rests_until = absl::InfinitePast();
  for (const StepCost& cost : costs) costs_.AddStep(cost.key, cost.rows, cost.took, now);
}

void WorkQueue::AddDecode(absl::string_view cost_key, absl::Duration took) {
  const absl::Time now = clock_->Now();
  absl::MutexLock lock(&mutex_);
  costs_.AddDecode(cost_key, took, now);
}

void WorkQueue::AddRun(absl::Duration took) {
  const absl::Time now = clock_->Now();
  absl::MutexLock lock(&mutex_);
  costs_.AddRun(took, now);
}

uint64_t WorkQueue::Epoch() const {
  absl::MutexLock lock(&mutex_);
  return epoch_;
}

void WorkQueue::AwaitEpochAfter(uint64_t epoch) const {
  const auto passed = [this, epoch]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
    return stopped_ || epoch_ != epoch;
  };
  absl::MutexLock lock(&mutex_);
  mutex_.Await(absl::Condition(&passed));
}

void WorkQueue::Wake() {
  absl::MutexLock lock(&mutex_);
  ++epoch_;
}

void WorkQueue::Stop() {
  absl::MutexLock lock(&mutex_);
  stopped_ = true;
}

bool WorkQueue::Stopped() const {
  absl::MutexLock lock(&mutex_);
  return stopped_;
}

bool WorkQueue::Stuck(const Worker& worker, absl::Time now) const {
  return now - worker.call_began > options_.watchdog_timeout;
}

// All images that wait or run, divided by the workers that answer and do not fail. An idle worker
// always has a share while an image waits; what one worker leaves to the others, they take after
// their current step.
int WorkQueue::FairShare(int worker, absl::Time now) const {
  int images = queue_.images();
  int sharers = 0;
  for (size_t i = 0; i < workers_.size(); ++i) {
    const Worker& other = workers_[i];
    if (static_cast<int>(i) != worker && (Stuck(other, now) || Failing(other))) continue;
    images += other.active;
    ++sharers;
  }
  const Worker& self = workers_[worker];
  // Alone, it goes on: an error at once is better than an answer that never comes.
  if (Failing(self) && sharers > 1) return now < self.rests_until ? 0 : 1;
  return std::min((images + sharers - 1) / sharers, options_.worker.max_active_images);
}

PoolLoad WorkQueue::Load(absl::Time now) const {
  PoolLoad load;
  load.slots = static_cast<int>(workers_.size()) * options_.worker.max_active_images;
  load.free_slots = load.slots;
  for (const Worker& worker : workers_) load.free_slots -= worker.active;
  load.run_time = costs_.RunTime(now);
  return load;
}

}  // namespace ilf
