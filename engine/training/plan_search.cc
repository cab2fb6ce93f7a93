#include "engine/training/plan_search.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "engine/base/status_macros.h"

namespace ilf {
namespace {

using Positions = std::vector<int64_t>;  // of the plan's timesteps in the reference

constexpr int64_t kFirstStride = 8;
// Between timesteps that are even in t and such that are even in log SNR; a good start for either.
constexpr double kBlend = 0.5;

class Search {
 public:
  Search(const Denoiser& denoiser, const NoiseSchedule& schedule, const FeedbackPlan& plan,
         const Reference& reference, const PlanSearchOptions& options)
      : denoiser_(denoiser),
        schedule_(schedule),
        plan_(plan),
        reference_(reference),
        options_(options) {}

  absl::StatusOr<FittedPlan> Run(const std::atomic<bool>& stop) {
    Positions best = FirstGuess();
    ILF_ASSIGN_OR_RETURN(FittedPlan found, Fit(best));
    int64_t stride = kFirstStride;
    for (int round = 0; round < options_.max_rounds; ++round) {
      const double before = found.rmse;
      for (size_t i = 1; i < best.size(); ++i) {
        for (const int64_t move : {-stride, stride}) {
          if (stop) return absl::CancelledError("stopped while searching");
          Positions candidate = best;
          candidate[i] += move;
          if (!IsValid(candidate)) continue;
          ILF_ASSIGN_OR_RETURN(FittedPlan fitted, Fit(candidate));
          if (fitted.rmse >= found.rmse) continue;
          found = std::move(fitted);
          best = candidate;
        }
      }
      absl::FPrintF(stderr, "search: stride %d, RMSE %.5f at %s\n", stride, found.rmse,
                    absl::StrJoin(found.plan.timesteps, ", "));
      if (found.rmse < before) continue;
      if (stride == 1) break;
      stride /= 2;
    }
    return found;
  }

 private:
  Positions FirstGuess() const {
    const std::vector<double>& all = reference_.timesteps;
    const double last = static_cast<double>(all.size()) - 1;
    Positions positions;
    for (int i = 0; i < plan_.steps; ++i) {
      const double part = static_cast<double>(i) / plan_.steps;
      const double wanted = all.front() * (1.0 - part);
      size_t even_in_t = 0;
      while (even_in_t + 1 < all.size() && all[even_in_t + 1] >= wanted) ++even_in_t;
      const double blended = kBlend * static_cast<double>(even_in_t) + (1 - kBlend) * part * last;
      const int64_t least = positions.empty() ? 0 : positions.back() + 1;
      const int64_t most = static_cast<int64_t>(all.size()) - (plan_.steps - i);
      positions.push_back(std::clamp(static_cast<int64_t>(std::lround(blended)), least, most));
    }
    return positions;
  }

  bool IsValid(const Positions& positions) const {
    for (size_t i = 1; i < positions.size(); ++i) {
      if (positions[i] <= positions[i - 1]) return false;
    }
    return positions.back() < static_cast<int64_t>(reference_.timesteps.size());
  }

  absl::StatusOr<FittedPlan> Fit(const Positions& positions) const {
    const Reference reference = reference_.At(positions);
    FeedbackPlan plan = plan_;
    plan.timesteps = reference.timesteps;
    AimAtNextStep(plan.timesteps, plan);
    return FitCoefficients(denoiser_, schedule_, std::move(plan), reference, options_.run);
  }

  const Denoiser& denoiser_;
  const NoiseSchedule& schedule_;
  const FeedbackPlan& plan_;
  const Reference& reference_;
  const PlanSearchOptions& options_;
};

}  // namespace

absl::StatusOr<FittedPlan> SearchTimesteps(const Denoiser& denoiser, const NoiseSchedule& schedule,
                                           const FeedbackPlan& plan, const Reference& reference,
                                           const PlanSearchOptions& options,
                                           const std::atomic<bool>& stop) {
  const size_t levels = reference.timesteps.size();
  if (plan.steps < 1 || static_cast<size_t>(plan.steps) > levels) {
    return absl::InvalidArgumentError(absl::StrCat("steps must be 1 to the ", levels,
                                                   " levels to choose from, are ", plan.steps));
  }
  return Search(denoiser, schedule, plan, reference, options).Run(stop);
}

std::vector<double> DenseTimesteps(const NoiseSchedule& schedule, int levels) {
  const double highest = std::log(schedule.SigmaAt(schedule.num_train_timesteps() - 1));
  const double lowest = std::log(schedule.SigmaAt(0));
  std::vector<double> timesteps;
  for (int i = 0; i < levels; ++i) {
    timesteps.push_back(
        schedule.TimestepAt(std::exp(highest + i * (lowest - highest) / (levels - 1))));
  }
  return timesteps;
}

}  // namespace ilf
