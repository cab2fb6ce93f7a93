#include "engine/training/plan_references.h"

#include <algorithm>
#include <functional>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/base/status_macros.h"

namespace ilf {
namespace {

std::vector<double> GuidanceScales(const CalibratedPlan& plan) {
  if (plan.max_guidance_scale == plan.min_guidance_scale) return {plan.min_guidance_scale};
  return {plan.min_guidance_scale, plan.max_guidance_scale};
}

bool Share(const CalibratedPlan& a, const CalibratedPlan& b) {
  return a.plan.timesteps.front() == b.plan.timesteps.front() &&
         GuidanceScales(a) == GuidanceScales(b);
}

// Where the reference of `plan` keeps states.
std::vector<double> KeptTimesteps(const CalibratedPlan& plan,
                                  const std::vector<CalibratedPlan>& plans, bool keep_starts) {
  if (!keep_starts) return {plan.plan.timesteps.front()};
  std::set<double, std::greater<>> starts;
  for (const CalibratedPlan& other : plans) {
    if (Share(plan, other)) {
      starts.insert(other.plan.timesteps.begin(), other.plan.timesteps.end());
    }
  }
  return {starts.begin(), starts.end()};
}

}  // namespace

absl::StatusOr<std::vector<Reference>> SolvePlanReferences(const Denoiser& teacher,
                                                           const NoiseSchedule& schedule,
                                                           const std::vector<CalibratedPlan>& plans,
                                                           const PlanReferenceOptions& options,
                                                           const std::atomic<bool>& stop) {
  std::vector<Reference> references;
  for (const CalibratedPlan& plan : plans) {
    const std::vector<double> kept = KeptTimesteps(plan, plans, options.keep_starts);
    const std::vector<double> scales = GuidanceScales(plan);
    const std::string file =
        absl::StrCat(options.file_prefix, "_guidance_", absl::StrJoin(scales, "_"), "_from_",
                     kept.front(), ".safetensors");
    ILF_ASSIGN_OR_RETURN(const Reference shared, SolveReference(teacher, schedule, kept,
                                                                {.images = options.images,
                                                                 .first_seed = options.first_seed,
                                                                 .guidance_scales = scales,
                                                                 .subjects = options.subjects,
                                                                 .min_steps = options.min_steps,
                                                                 .device = options.device},
                                                                file, options.key, stop));
    std::vector<int64_t> positions;
    for (const double start : plan.plan.timesteps) {
      const auto found = std::find(kept.begin(), kept.end(), start);
      if (found != kept.end()) positions.push_back(found - kept.begin());
    }
    references.push_back(shared.At(positions));
  }
  return references;
}

}  // namespace ilf
