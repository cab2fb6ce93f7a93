#include "engine/training/progress.h"

#include <unistd.h>

#include <cstdio>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"

namespace ilf {

Progress::Progress(std::string name, const TrainingOptions& options, int64_t first_step)
    : name_(std::move(name)),
      steps_(options.steps),
      batch_size_(options.batch_size),
      log_every_(options.log_every),
      first_step_(first_step),
      terminal_(isatty(STDERR_FILENO)),
      begin_(absl::Now()),
      log_file_(options.output + "/losses.jsonl"),
      log_(log_file_, first_step > 0 ? std::ios::app : std::ios::trunc) {
  if (first_step > 0) {
    absl::FPrintF(stderr, "%s: resuming after step %d of %d\n", name_, first_step, steps_);
  }
}

absl::Status Progress::Step(int64_t step, double loss, double learning_rate) {
  loss_sum_ += loss;
  ++loss_count_;
  if (step % log_every_ != 0 && step != steps_) return absl::OkStatus();
  const double mean = loss_sum_ / loss_count_;
  const double seconds = absl::ToDoubleSeconds(absl::Now() - begin_);
  const double rate = (step - first_step_) / seconds;  // steps a second
  loss_sum_ = 0.0;
  loss_count_ = 0;
  log_ << absl::StrFormat(
              "{\"step\": %d, \"loss\": %.6f, \"learning_rate\": %.3e, \"seconds\": %.1f}\n", step,
              mean, learning_rate, seconds)
       << std::flush;
  if (!log_) return absl::UnavailableError(absl::StrCat(log_file_, ": cannot be written"));
  const absl::Duration left = absl::Seconds(static_cast<int64_t>((steps_ - step) / rate));
  absl::FPrintF(stderr, "%s%s: step %d/%d, loss %.5f, lr %.1e, %.0f images/s, %s left%s",
                terminal_ ? "\r\033[K" : "", name_, step, steps_, mean, learning_rate,
                rate * batch_size_, absl::FormatDuration(left), terminal_ ? "" : "\n");
  return absl::OkStatus();
}

void Progress::Finish() {
  if (terminal_) std::fputc('\n', stderr);
}

}  // namespace ilf
