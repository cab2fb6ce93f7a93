#include "engine/pipeline/math_threads.h"

#include <algorithm>

#include <ATen/Parallel.h>

namespace ilf {
namespace {

constexpr int64_t kPixelsPerThread = 64 * 64;

}  // namespace

void SetMathThreads(int threads) {
  at::get_num_threads();  // the first time, after which the number is this thread's own
  at::set_num_threads(threads);
}

int DecodeThreads(int64_t pixels, int most) {
  const int64_t wanted = (pixels + kPixelsPerThread - 1) / kPixelsPerThread;
  return static_cast<int>(std::min<int64_t>(wanted, most));
}

ScopedMathThreads::ScopedMathThreads(int threads) : before_(at::get_num_threads()) {
  if (threads != before_) SetMathThreads(threads);
}

ScopedMathThreads::~ScopedMathThreads() {
  if (at::get_num_threads() != before_) SetMathThreads(before_);
}

}  // namespace ilf
