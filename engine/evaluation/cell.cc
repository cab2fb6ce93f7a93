#include "engine/evaluation/cell.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace ilf {

Cell PlainCell(const NoiseSchedule& schedule, SolverKind solver, Spacing spacing, int steps) {
  return {absl::StrCat(SolverKindName(solver), " ", SpacingName(spacing), " ", steps),
          schedule.With(spacing), FeedbackPlan{.steps = steps, .solver = solver}, std::nullopt};
}

std::vector<Cell> PlainCells(const NoiseSchedule& schedule, const GridOptions& options) {
  std::vector<Cell> cells;
  for (const int steps : options.steps) {
    cells.push_back(PlainCell(schedule, SolverKind::kDdim, Spacing::kLinspace, steps));
    for (const Spacing spacing :
         {Spacing::kLinspace, Spacing::kTrailing, Spacing::kKarras, Spacing::kLogSnr}) {
      cells.push_back(PlainCell(schedule, SolverKind::kDpmSolverPp2m, spacing, steps));
    }
  }
  for (const int steps : options.base_steps) {
    for (const Spacing spacing : {Spacing::kLinspace, Spacing::kLogSnr}) {
      cells.push_back(PlainCell(schedule, SolverKind::kDpmSolverPp2m, spacing, steps));
    }
  }
  return cells;
}

std::vector<Cell> CacheableCells(const NoiseSchedule& schedule, const GridOptions& options) {
  std::vector<Cell> cells;
  for (const int steps : options.cached_steps) {
    for (const Spacing spacing : {Spacing::kLinspace, Spacing::kLogSnr}) {
      cells.push_back(PlainCell(schedule, SolverKind::kDpmSolverPp2m, spacing, steps));
    }
  }
  return cells;
}

std::vector<Cell> CachedCells(const std::vector<Cell>& cells, const GridOptions& options) {
  // From nearly all blocks down to the middle half.
  std::vector<BlockRange> ranges;
  for (const int64_t kept : {int64_t{1}, options.layers / 7, options.layers / 4}) {
    const BlockRange range = {kept, options.layers - kept};
    const bool wider = ranges.empty() ? kept > 0 : kept > ranges.back().begin;
    if (range.begin < range.end && wider) ranges.push_back(range);
  }
  std::vector<Cell> cached;
  for (const Cell& cell : cells) {
    if (!cell.plan.feedback.empty()) continue;
    for (const CacheKind kind : {CacheKind::kBlocks, CacheKind::kTaylor}) {
      for (const int period : {2, 3}) {
        for (const BlockRange range : ranges) {
          Cell with_cache = cell;
          with_cache.cache = CachePolicy{kind, period, range};
          absl::StrAppend(&with_cache.name, ", cache ", with_cache.cache->Name());
          cached.push_back(std::move(with_cache));
        }
      }
    }
  }
  return cached;
}

std::vector<Cell> PlanCells(const NoiseSchedule& schedule, const std::vector<CalibratedPlan>& plans,
                            const std::string& prefix) {
  std::vector<Cell> cells;
  for (const CalibratedPlan& calibrated : plans) {
    const FeedbackPlan& plan = calibrated.plan;
    const std::string name =
        absl::StrCat(prefix, " ", plan.solver == SolverKind::kDdim ? "ddim " : "", plan.steps,
                     plan.feedback.empty() ? "" : " with feedback in ",
                     plan.feedback.empty() ? "" : absl::StrCat(plan.feedback.size()), ", guidance ",
                     calibrated.min_guidance_scale, "-", calibrated.max_guidance_scale);
    Cell cell = {name,
                 calibrated.spacing ? schedule.With(*calibrated.spacing) : schedule,
                 plan,
                 std::nullopt,
                 calibrated.min_guidance_scale,
                 calibrated.max_guidance_scale};
    cells.push_back(cell);
    if (plan.feedback.empty()) continue;
    cell.name += ", scales 0";
    cell.silent = true;
    cells.push_back(std::move(cell));
  }
  return cells;
}

}  // namespace ilf
