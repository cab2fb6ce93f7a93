#include "engine/runtime/worker_core.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/string_view.h"
#include "engine/base/check.h"
#include "engine/runtime/guarded_call.h"
#include "spdlog/spdlog.h"

namespace ilf {
namespace {

// Tells the watchdog about a call into the device, for as long as it lives.
class WatchedCall {
 public:
  WatchedCall(WorkQueue* work, int worker) : work_(work), worker_(worker) {
    work_->CallBegan(worker_);
  }
  ~WatchedCall() { work_->CallEnded(worker_); }
  WatchedCall(const WatchedCall&) = delete;
  WatchedCall& operator=(const WatchedCall&) = delete;

 private:
  WorkQueue* const work_;
  const int worker_;
};

}  // namespace

WorkerCore::WorkerCore(int index, const EngineOptions& options, const Parts& parts)
    : index_(index),
      options_(options),
      parts_(parts),
      output_({parts.runner, parts.executor, parts.clock, parts.work}),
      batcher_(options.batching),
      slots_(options.worker.max_active_images) {}

bool WorkerCore::RunOnce() {
  const absl::Time start = parts_.clock->Now();
  DropEnded();
  const bool took_up = TakeUp();
  if (took_up) DropEnded();
  const std::vector<ImageId> batch = batcher_.Plan(parts_.clock->Now());
  if (!batch.empty()) StepBatch(batch);
  const bool worked = took_up || !batch.empty();
  ReportMemory();
  if (worked) parts_.observer->WorkerBusy(index_, parts_.clock->Now() - start);
  return worked;
}

void WorkerCore::ReportMemory() {
  const absl::Time now = parts_.clock->Now();
  if (now < next_memory_report_) return;
  next_memory_report_ = now + options_.worker.memory_report_interval;
  const WatchedCall call(parts_.work, index_);
  const std::optional<DeviceMemory> memory = parts_.runner->Memory();
  if (memory.has_value()) parts_.observer->MemoryUsed(*memory);
}

void WorkerCore::DropEnded() {
  const absl::Time now = parts_.clock->Now();
  for (ImageId id = 0; id < static_cast<ImageId>(slots_.size()); ++id) {
    const std::shared_ptr<RunningRequest> request = slots_[id].request;
    if (request == nullptr) continue;
    if (request->request().deadline <= now) {
      request->End(absl::DeadlineExceededError("the deadline has passed"));
    }
    if (request->Ended()) Release(id);
  }
}

bool WorkerCore::TakeUp() {
  for (const auto& late : parts_.work->TakeLate()) {
    late->End(absl::DeadlineExceededError("the request waited too long to meet its deadline"));
  }
  const bool images_wait = batcher_.images() > 0;
  const absl::Time start = parts_.clock->Now();
  bool took_up = false;
  std::vector<ImageId> begun;
  while (HasRoom()) {
    const std::optional<TakenImage> taken = parts_.work->Take(index_);
    if (!taken.has_value()) break;
    if (const std::optional<ImageId> id = Begin(*taken)) begun.push_back(*id);
    took_up = true;
    const absl::Duration preparing = preparing_ * static_cast<int64_t>(begun.size() + 1);
    const absl::Duration takes = parts_.clock->Now() - start + preparing;
    if (images_wait && takes >= options_.worker.max_begin_time) break;
  }
  Prepare(std::move(begun));
  return took_up;
}

// Those with the same batch key together.
void WorkerCore::Prepare(std::vector<ImageId> ids) {
  const auto key = [this](ImageId id) -> const std::string& {
    return slots_[id].state->BatchKey();
  };
  std::stable_sort(ids.begin(), ids.end(), [&](ImageId a, ImageId b) { return key(a) < key(b); });
  for (auto begin = ids.begin(); begin != ids.end();) {
    const auto end =
        std::find_if(begin, ids.end(), [&](ImageId id) { return key(id) != key(*begin); });
    PrepareTogether({&*begin, static_cast<size_t>(end - begin)});
    begin = end;
  }
}

void WorkerCore::PrepareTogether(absl::Span<const ImageId> ids) {
  const absl::Time start = parts_.clock->Now();
  const absl::Status status = GuardedCall("Prepare", [&] {
    const WatchedCall call(parts_.work, index_);
    return parts_.runner->Prepare(States(ids));
  });
  if (status.ok()) {
    const absl::Duration took = parts_.clock->Now() - start;
    preparing_ = (preparing_ + took / static_cast<int64_t>(ids.size())) / 2;
    parts_.observer->ImagesPrepared(index_, slots_[ids.front()].request->request().model, took);
    return;
  }
  parts_.observer->StepFailed(index_, status.code());
  if (!absl::IsResourceExhausted(status) || ids.size() == 1) {
    AfterFailure("preparation", ids, status);
    return;
  }
  PrepareTogether(ids.first(ids.size() / 2));
  PrepareTogether(ids.subspan(ids.size() / 2));
}

bool WorkerCore::HasRoom() const {
  return batcher_.images() < options_.worker.max_active_images &&
         output_.finishing() < options_.worker.max_finishing_images;
}

std::optional<ImageId> WorkerCore::Begin(const TakenImage& taken) {
  const RunningRequest& request = *taken.request;
  if (request.Ended()) {
    parts_.work->Left(index_);
    return std::nullopt;
  }
  taken.request->Taken();
  const absl::Time now = parts_.clock->Now();
  absl::StatusOr<std::unique_ptr<ImageState>> state = GuardedCall("Begin", [&] {
    const WatchedCall call(parts_.work, index_);
    return parts_.runner->Begin(request.request(), taken.image_index);
  });
  if (!state.ok()) {
    spdlog::error("worker {}: request {} cannot begin: {}", index_, request.request().request_id,
                  state.status().ToString());
    NoteFailure(state.status());
    parts_.work->Left(index_);
    taken.request->End(state.status());
    return std::nullopt;
  }
  const auto free = std::find_if(slots_.begin(), slots_.end(),
                                 [](const ActiveImage& slot) { return slot.request == nullptr; });
  Check(free != slots_.end(), "a worker takes no more images than it has slots");
  Check((*state)->StepsDone() < (*state)->Steps(), "a new image has steps to take");
  const ImageId id = static_cast<ImageId>(free - slots_.begin());
  batcher_.Add({id, (*state)->BatchKey(), (*state)->Rows(), (*state)->TokensPerRow(),
                request.request().priority, request.request().deadline, request.handle()},
               now);
  *free = ActiveImage{taken.request, taken.image_index, *std::move(state), now, absl::Time()};
  return id;
}

void WorkerCore::StepBatch(absl::Span<const ImageId> ids) {
  const BatchRows rows = Rows(ids);
  const absl::Time start = parts_.clock->Now();
  const absl::Status status = CallRun(ids);
  if (status.ok()) {
    AfterStep(ids, rows, parts_.clock->Now() - start);
    return;
  }
  parts_.observer->StepFailed(index_, status.code());
  if (!absl::IsResourceExhausted(status) || ids.size() == 1) {
    AfterFailure("step", ids, status);
    return;
  }
  spdlog::warn("worker {}: out of memory in a step of {} images, trying halves", index_,
               ids.size());
  batcher_.OutOfMemory(ids, parts_.clock->Now());
  const size_t half = ids.size() / 2;
  StepBatch(ids.first(half));
  StepBatch(ids.subspan(half));
}

std::vector<ImageState*> WorkerCore::States(absl::Span<const ImageId> ids) const {
  std::vector<ImageState*> states;
  states.reserve(ids.size());
  for (const ImageId id : ids) states.push_back(slots_[id].state.get());
  return states;
}

absl::Status WorkerCore::CallRun(absl::Span<const ImageId> ids) {
  const WatchedCall call(parts_.work, index_);
  return GuardedCall("Run", [&] { return parts_.runner->Run(States(ids)); });
}

void WorkerCore::AfterStep(absl::Span<const ImageId> ids, const BatchRows& rows,
                           absl::Duration took) {
  batcher_.Stepped(ids, parts_.clock->Now());
  parts_.work->AddStep(index_, Costs(ids, rows.tokens, took));
  parts_.observer->StepDone({index_, slots_[ids.front()].request->request().model,
                             static_cast<int>(ids.size()), rows.all, rows.feedback, rows.tokens,
                             took});
  for (const ImageId id : ids) Advance(id);
}

void WorkerCore::Advance(ImageId id) {
  ActiveImage& image = slots_[id];
  image.request->Stepped(image.Progress());
  if (image.state->StepsDone() < image.state->Steps()) {
    batcher_.SetRows(id, image.state->Rows());
    output_.OfferPreview(image);
    return;
  }
  image.denoised = parts_.clock->Now();
  parts_.work->AddRun(image.denoised - image.taken);
  output_.Finish(Release(id));
}

void WorkerCore::AfterFailure(const char* what, absl::Span<const ImageId> ids,
                              const absl::Status& status) {
  spdlog::error("worker {}: a {} of {} images failed: {}", index_, what, ids.size(),
                status.ToString());
  NoteFailure(status);
  for (const ImageId id : ids) Release(id).request->End(status);
}

void WorkerCore::NoteFailure(const absl::Status& status) {
  if (!absl::IsResourceExhausted(status)) parts_.work->AddFailure(index_);
}

ActiveImage WorkerCore::Release(ImageId id) {
  batcher_.Remove(id);
  parts_.work->Left(index_);
  return std::exchange(slots_[id], ActiveImage());
}

WorkerCore::BatchRows WorkerCore::Rows(absl::Span<const ImageId> ids) const {
  BatchRows rows;
  for (const ImageId id : ids) {
    rows.all += slots_[id].state->Rows();
    rows.feedback += slots_[id].state->FeedbackRows();
    rows.tokens += slots_[id].state->Rows() * slots_[id].state->TokensPerRow();
  }
  return rows;
}

// Each cost key of the batch once, with as many rows of its size as have the tokens of the batch.
std::vector<StepCost> WorkerCore::Costs(absl::Span<const ImageId> ids, int64_t tokens,
                                        absl::Duration took) const {
  std::vector<StepCost> costs;
  for (const ImageId id : ids) {
    const absl::string_view key = slots_[id].request->cost_key();
    const auto has_key = [&](const StepCost& cost) { return cost.key == key; };
    if (std::any_of(costs.begin(), costs.end(), has_key)) continue;
    const int64_t tokens_per_row = slots_[id].state->TokensPerRow();
    const int64_t rows = (tokens + tokens_per_row - 1) / tokens_per_row;
    costs.push_back({key, static_cast<int>(rows), took});
  }
  return costs;
}

}  // namespace ilf
