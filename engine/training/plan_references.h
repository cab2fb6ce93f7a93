// The references that step plans are trained and validated on.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/pipeline/denoiser.h"
#include "engine/pipeline/feedback.h"
#include "engine/sampling/noise_schedule.h"
#include "engine/training/reference.h"

namespace ilf {

struct PlanReferenceOptions {
  int64_t images = 1024;
  uint64_t first_seed = 0;
  int min_steps = 60;        // as in ReferenceOptions
  Subjects subjects = {};    // as in ReferenceOptions
  bool keep_starts = false;  // also the states where the plan's steps start, not the noise alone
  std::string file_prefix;   // of the files that keep them
  std::string key;           // tells one backbone from another
  c10::Device device = c10::kCPU;
};

// The reference of each plan, under its least and greatest guidance scale. Plans of equal scales
// that start at the same timestep share one solve and its file. The plans state their timesteps.
// SolveReference's errors.
absl::StatusOr<std::vector<Reference>> SolvePlanReferences(const Denoiser& teacher,
                                                           const NoiseSchedule& schedule,
                                                           const std::vector<CalibratedPlan>& plans,
                                                           const PlanReferenceOptions& options,
                                                           const std::atomic<bool>& stop);

}  // namespace ilf
