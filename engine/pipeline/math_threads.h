// How many of LibTorch's math threads a call on the CPU takes.
#pragma once

#include <cstdint>

namespace ilf {

// Sets the calling thread's number, for good. LibTorch also keeps the number that was set last by
// any thread and gives it to a thread that asks for its own the first time, even one that has set
// it; not to one that was set here.
void SetMathThreads(int threads);

// For decoding one picture of `pixels` (at least 1), at most `most` (at least 1): one for each
// 64 x 64 pixels begun. A small picture's layers are over sooner than several threads have met
// after each of them, and those of a busy worker are in their way. The same for equal arguments, so
// that the bits of a picture do not depend on what else runs.
int DecodeThreads(int64_t pixels, int most);

// Sets the calling thread's number for as long as this lives; other threads, if set by the function
// above, keep theirs.
class ScopedMathThreads {
 public:
  explicit ScopedMathThreads(int threads);
  ~ScopedMathThreads();
  ScopedMathThreads(const ScopedMathThreads&) = delete;
  ScopedMathThreads& operator=(const ScopedMathThreads&) = delete;

 private:
  const int before_;
};

}  // namespace ilf
