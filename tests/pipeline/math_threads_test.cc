#include "engine/pipeline/math_threads.h"

#include <thread>

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

namespace ilf {
namespace {

TEST(DecodeThreadsTest, ASmallPictureTakesOne) {
  EXPECT_EQ(DecodeThreads(1, 16), 1);
  EXPECT_EQ(DecodeThreads(32 * 32, 16), 1);
  EXPECT_EQ(DecodeThreads(64 * 64, 16), 1);
}

TEST(DecodeThreadsTest, ALargerOneTakesMoreUpToTheMost) {
  EXPECT_EQ(DecodeThreads(64 * 64 + 1, 16), 2);
  EXPECT_EQ(DecodeThreads(128 * 128, 16), 4);
  EXPECT_EQ(DecodeThreads(256 * 256, 16), 16);
  EXPECT_EQ(DecodeThreads(int64_t{1} << 40, 16), 16);
  EXPECT_EQ(DecodeThreads(512 * 512, 1), 1);
}

TEST(SetMathThreadsTest, HoldsWhateverAnotherThreadSets) {
  std::thread([] {
    SetMathThreads(3);
    std::thread([] { at::set_num_threads(1); }).join();
    EXPECT_EQ(at::get_num_threads(), 3);
  }).join();
}

TEST(ScopedMathThreadsTest, LastForTheirScopeOnTheirThread) {
  std::thread([] {
    at::set_num_threads(3);
    {
      const ScopedMathThreads one(1);
      EXPECT_EQ(at::get_num_threads(), 1);
      std::thread([] {
        at::set_num_threads(2);
        const ScopedMathThreads one_here(1);
      }).join();
      EXPECT_EQ(at::get_num_threads(), 1);
    }
    EXPECT_EQ(at::get_num_threads(), 3);
  }).join();
}

}  // namespace
}  // namespace ilf
