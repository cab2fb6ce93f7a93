// The progress line and the loss log of a training run.
#pragma once

#include <cstdint>
#include <fstream>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "engine/training/training_loop.h"

namespace ilf {

// On a terminal one line that is rewritten, elsewhere one line each `log_every` steps. The log of a
// run that begins at step 0 begins anew. Not thread-safe.
class Progress {
 public:
  Progress(std::string name, const TrainingOptions& options, int64_t first_step);

  // `step` steps are done, the last with this loss. UNAVAILABLE when the log cannot be written.
  absl::Status Step(int64_t step, double loss, double learning_rate);
  void Finish();

 private:
  const std::string name_;
  const int64_t steps_, batch_size_, log_every_, first_step_;
  const bool terminal_;
  const absl::Time begin_;
  const std::string log_file_;
  std::ofstream log_;
  double loss_sum_ = 0.0;
  int64_t loss_count_ = 0;
};

}  // namespace ilf
