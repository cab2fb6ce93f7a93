// The seeds from which training and evaluation draw their noises: each purpose has its own, so that
// nothing is measured on what it was trained on.
//
// They differ in their low 32 bits because LibTorch's CPU generator looks at no others. The seeds
// of requests are usually small and lie below them all.
#pragma once

#include <cstdint>

namespace ilf {

inline constexpr uint64_t kFirstPlanSearchSeed = 0x4000'0000;
inline constexpr uint64_t kFirstFeedbackTrainingSeed = 0x8000'0000;
inline constexpr uint64_t kFirstFeedbackValidationSeed = 0xA000'0000;
inline constexpr uint64_t kFirstReferenceSeed = 0xC000'0000;  // of ilf-eval's errors
inline constexpr uint64_t kFirstJudgedSeed = 0xE000'0000;     // of ilf-eval's Frechet distances

}  // namespace ilf
