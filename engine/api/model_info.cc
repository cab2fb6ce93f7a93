#include "engine/api/model_info.h"

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace ilf {

absl::StatusOr<int> FindLabel(const ModelInfo& model, absl::string_view name) {
  const absl::string_view wanted = absl::StripAsciiWhitespace(name);
  int found = -1;
  for (int i = 0; i < static_cast<int>(model.labels.size()); ++i) {
    if (absl::EqualsIgnoreCase(model.labels[i], wanted)) return i;
    for (absl::string_view synonym : absl::StrSplit(model.labels[i], ',')) {
      if (!absl::EqualsIgnoreCase(absl::StripAsciiWhitespace(synonym), wanted)) continue;
      if (found >= 0 && found != i) {
        return absl::InvalidArgumentError(absl::StrCat("classes ", found, " and ", i, " of model '",
                                                       model.name, "' are both named '", wanted,
                                                       "': give the class index"));
      }
      found = i;
    }
  }
  if (found >= 0) return found;
  return absl::NotFoundError(
      absl::StrCat("model '", model.name, "' has no class named '", wanted, "'"));
}

absl::string_view SolverName(Solver solver) {
  switch (solver) {
    case Solver::kDdim:
      return "ddim";
    case Solver::kDpmSolverPp2m:
      return "dpmsolver++";
    case Solver::kEuler:
      return "euler";
  }
  return "unknown";
}

const FeedbackPlanInfo* FindFeedbackPlan(const ModelInfo& model, int steps,
                                         std::optional<Solver> solver, double guidance_scale) {
  const FeedbackPlanInfo* found = nullptr;
  for (const FeedbackPlanInfo& plan : model.feedback_plans) {
    if (plan.steps != steps || (solver && *solver != plan.solver)) continue;
    if (found == nullptr || (!found->Covers(guidance_scale) && plan.Covers(guidance_scale))) {
      found = &plan;
    }
  }
  return found;
}

}  // namespace ilf
