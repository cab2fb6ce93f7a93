// The cells of an evaluation: ways of sampling that are measured beside each other.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/evaluation/cached_sampling.h"
#include "engine/pipeline/feedback.h"
#include "engine/sampling/feedback_plan.h"
#include "engine/sampling/noise_schedule.h"

namespace ilf {

// One way of sampling.
struct Cell {
  std::string name;        // unique: what a resumed run knows it by
  NoiseSchedule schedule;  // with the cell's spacing
  FeedbackPlan plan;
  std::optional<CachePolicy> cache;  // plain plans only
  double min_guidance_scale = 0.0;   // measured under scales from this
  double max_guidance_scale = 1e9;   // to this
  bool silent =
      false;  // feedback passes with every scale at 0: what the module adds shows beside it
};

struct GridOptions {
  std::vector<int> steps = {3, 4, 5, 6, 7, 8, 10, 12, 16, 20};
  std::vector<int> base_steps = {50};  // what the model itself is judged by
  std::vector<int> cached_steps = {6, 8, 10, 12, 16, 20};
  int64_t layers = 28;
};

// "ddim linspace 20": plain passes with this solver (not Euler, which
// MakeFeedbackStepPlan refuses) and spacing.
Cell PlainCell(const NoiseSchedule& schedule, SolverKind solver, Spacing spacing, int steps);

// Plain plans: at `steps` DDIM with linspace spacing and DPM-Solver++ 2M with every spacing; at
// `base_steps` DPM-Solver++ 2M with linspace and log-SNR spacing.
std::vector<Cell> PlainCells(const NoiseSchedule& schedule, const GridOptions& options);

// What block caching starts from: DPM-Solver++ 2M with linspace and log-SNR spacing at
// `cached_steps`.
std::vector<Cell> CacheableCells(const NoiseSchedule& schedule, const GridOptions& options);

// Those of `cells` that run no feedback, under every cache policy of a grid over kind, period and
// range.
std::vector<Cell> CachedCells(const std::vector<Cell>& cells, const GridOptions& options);

// The plans of a module and the same with silent feedback; `prefix` goes before their names. Those
// without feedback steps (fitted plain plans) come once.
std::vector<Cell> PlanCells(const NoiseSchedule& schedule, const std::vector<CalibratedPlan>& plans,
                            const std::string& prefix);

}  // namespace ilf
