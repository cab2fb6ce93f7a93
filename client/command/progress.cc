#include "client/command/progress.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace ilf {
namespace {

double ToSeconds(const google::protobuf::Duration& duration) {
  return static_cast<double>(duration.seconds()) + duration.nanos() * 1e-9;
}

std::string Images(int count) { return absl::StrCat(count, count == 1 ? " image" : " images"); }

std::string DescribeQueued(const v1::QueuedEvent& queued) {
  std::string text = absl::StrCat("request ", queued.request_id(), " for ", queued.model(),
                                  " is queued, ", Images(queued.images_ahead()), " ahead");
  const double wait = ToSeconds(queued.estimated_wait());
  if (wait > 0) absl::StrAppend(&text, absl::StrFormat(", about %.1f s", wait));
  return text;
}

std::string DescribeImage(const v1::ImageEvent& image) {
  const auto& timings = image.timings();
  const std::string feedback = image.feedback_steps() > 0
                                   ? absl::StrFormat(" (%d with feedback)", image.feedback_steps())
                                   : "";
  return absl::StrFormat(
      "image %d: seed %u, %dx%d, %d steps%s in %.2f s, decoded in %.2f s, %d of %d block "
      "evaluations",
      image.image_index(), image.seed(), image.width(), image.height(), image.steps(), feedback,
      ToSeconds(timings.denoise()), ToSeconds(timings.decode()), image.block_evaluations(),
      image.plain_block_evaluations());
}

}  // namespace

void Progress::Take(const v1::GenerateResponse& event) {
  switch (event.event_case()) {
    case v1::GenerateResponse::kQueued:
      images_ahead_ = event.queued().images_ahead();
      break;
    case v1::GenerateResponse::kStarted:
      started_ = true;
      break;
    case v1::GenerateResponse::kStep:
      steps_per_image_ = event.step().steps();
      steps_done_[event.step().image_index()] = event.step().step();
      break;
    case v1::GenerateResponse::kImage:
      steps_per_image_ = event.image().steps();
      steps_done_[event.image().image_index()] = event.image().steps();
      ++images_done_;
      break;
    default:
      break;
  }
}

int Progress::Percent() const {
  const int64_t all = int64_t{steps_per_image_} * images_;
  if (all <= 0) return 0;
  int64_t done = 0;
  for (const auto& [index, steps] : steps_done_) done += steps;
  return static_cast<int>(std::min<int64_t>(100, 100 * done / all));
}

std::string Progress::Summary() const {
  if (!started_) return absl::StrCat("queued, ", Images(images_ahead_), " ahead");
  if (steps_per_image_ == 0) return "started";
  int done = 0;
  for (const auto& [index, steps] : steps_done_) done += steps;
  if (images_ == 1) {
    return absl::StrCat(Percent(), " %, step ", done, " of ", steps_per_image_);
  }
  return absl::StrCat(Percent(), " %, ", done, " of ", steps_per_image_ * images_, " steps, ",
                      images_done_, " of ", images_, " images");
}

std::string DescribeEvent(const v1::GenerateResponse& event) {
  switch (event.event_case()) {
    case v1::GenerateResponse::kQueued:
      return DescribeQueued(event.queued());
    case v1::GenerateResponse::kStarted:
      return absl::StrFormat("started after %.2f s", ToSeconds(event.started().queue_wait()));
    case v1::GenerateResponse::kImage:
      return DescribeImage(event.image());
    case v1::GenerateResponse::kCompleted:
      return absl::StrFormat("%s in %.2f s", Images(event.completed().image_count()),
                             ToSeconds(event.completed().total()));
    default:
      return "";
  }
}

}  // namespace ilf
