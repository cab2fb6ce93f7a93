#include "tools/eval_cells.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "engine/base/status_macros.h"
#include "engine/checkpoint/json_config.h"

namespace ilf {
namespace {

bool ContainsOneOf(const std::string& name, const std::vector<std::string>& parts) {
  return std::any_of(parts.begin(), parts.end(),
                     [&](const std::string& part) { return absl::StrContains(name, part); });
}

bool IsWanted(const std::string& name, const EvalOptions& options) {
  return (options.only.empty() || ContainsOneOf(name, options.only)) &&
         !ContainsOneOf(name, options.except);
}

std::string Condition(absl::string_view what, const std::vector<std::string>& parts) {
  return absl::StrCat(what, " '", absl::StrJoin(parts, "' or '"), "'");
}

// `named`: NAME=FILE.
absl::StatusOr<std::vector<Cell>> CellsOfFile(const std::string& named,
                                              const DiffusionModel& model) {
  const NoiseSchedule& schedule = model.schedule();
  const size_t equals = named.find('=');
  if (equals == std::string::npos) {
    return absl::InvalidArgumentError(absl::StrCat("--plans must be NAME=FILE, is '", named, "'"));
  }
  ILF_ASSIGN_OR_RETURN(const JsonConfig json, JsonConfig::Load(named.substr(equals + 1)));
  ILF_ASSIGN_OR_RETURN(const std::vector<CalibratedPlan> plans, ReadFeedbackPlans(json, schedule));
  for (const CalibratedPlan& plan : plans) {
    if (plan.plan.feedback.empty() || model.denoiser().feedback != nullptr) continue;
    return absl::InvalidArgumentError(absl::StrCat("--plans ", named, ": the plan of ",
                                                   plan.plan.steps,
                                                   " steps runs feedback, and the model has no "
                                                   "module in feedback/"));
  }
  return PlanCells(schedule, plans, named.substr(0, equals));
}

}  // namespace

absl::StatusOr<std::vector<Cell>> MakeCells(const EvalOptions& options,
                                            const DiffusionModel& model) {
  const NoiseSchedule& schedule = model.schedule();
  GridOptions grid;
  grid.layers = model.transformer().config().num_layers;
  if (!options.steps.empty()) grid.steps = grid.cached_steps = options.steps;
  std::vector<Cell> cells;
  const auto add = [&](std::vector<Cell> more) {
    for (Cell& cell : more) {
      if (IsWanted(cell.name, options)) cells.push_back(std::move(cell));
    }
  };
  if (options.plain) add(PlainCells(schedule, grid));
  std::vector<Cell> cacheable = CacheableCells(schedule, grid);
  for (const std::string& named : options.plans) {
    ILF_ASSIGN_OR_RETURN(const std::vector<Cell> planned, CellsOfFile(named, model));
    cacheable.insert(cacheable.end(), planned.begin(), planned.end());
    add(planned);
  }
  add(PlanCells(schedule, model.feedback_plans(), "feedback"));
  if (options.cached) add(CachedCells(cacheable, grid));
  for (const Cell& cell : cells) {
    const absl::Status status = MakeFeedbackStepPlan(cell.schedule, cell.plan).status();
    if (!status.ok())
      return absl::InvalidArgumentError(absl::StrCat("'", cell.name, "': ", status.message()));
  }
  const bool chosen = !options.only.empty() || !options.except.empty();
  if (cells.empty() && chosen && options.neighbours.empty()) {
    std::vector<std::string> conditions;
    if (!options.only.empty()) conditions.push_back(Condition("--only: with", options.only));
    if (!options.except.empty())
      conditions.push_back(Condition("--except: without", options.except));
    return absl::InvalidArgumentError(
        absl::StrCat("no cell is left (", absl::StrJoin(conditions, "; "), ")"));
  }
  return cells;
}

bool Covers(const Cell& cell, double guidance) {
  return guidance >= cell.min_guidance_scale && guidance <= cell.max_guidance_scale;
}

}  // namespace ilf
