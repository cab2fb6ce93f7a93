// The feedback module of a model directory: MODEL/feedback/config.json and
// diffusion_pytorch_model.safetensors.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/checkpoint/json_config.h"
#include "engine/checkpoint/model_directory.h"
#include "engine/model/execution.h"
#include "engine/model/feedback_module.h"
#include "engine/model/transformer_config.h"
#include "engine/sampling/feedback_plan.h"
#include "engine/sampling/noise_schedule.h"

namespace ilf {

// A plan that the module was trained for, and what was measured of it.
struct CalibratedPlan {
  FeedbackPlan plan;
  std::optional<Spacing> spacing;  // where the plan has no timesteps; default: the schedule's own
  StepPlan steps;                  // MakeFeedbackStepPlan(plan) in that spacing
  int equivalent_steps = 0;        // plain steps of the same solver that reach its quality
  double min_guidance_scale = 1.0;
  double max_guidance_scale = 1.0;  // outside of these it was not measured
};

// feedback/config.json: FeedbackConfig's keys, `backbone_sha256` (BackboneSha256) and `plans`, a
// list of objects with
//   steps, solver ("ddim", "dpmsolver++"), feedback_steps (positions from 0), equivalent_steps,
// and optionally
//   timesteps (where the steps start), coefficients (a list of [a, b, c] by step), spacing (where
//   `timesteps` is absent: "leading", "trailing", "linspace", and with dpmsolver++ "karras",
//   "log_snr"; default: the scheduler's), target_timesteps (one a feedback step; default, or where
//   the list is empty: the start of the step after, 0 after the last), feedback_in_history (true),
//   guidance_scales ([least, most]; default [1, 1]).
// Any other key is refused. Plans of the same steps and solver may differ by guidance_scales, which
// must not overlap then.
struct Feedback {
  FeedbackModule module;
  std::vector<CalibratedPlan> plans;  // not empty
};

// The plan of so many steps with `solver` that was measured closest to the guidance scale; nullptr
// when there is none.
const CalibratedPlan* FindPlan(const std::vector<CalibratedPlan>& plans, int steps,
                               SolverKind solver, double guidance_scale);

// Whether the model has a folder feedback/, or what stands there cannot be told.
bool HasFeedback(const ModelDirectory& directory);

// INVALID_ARGUMENT names file, key and reason; also where the module was trained for another
// backbone.
absl::StatusOr<Feedback> LoadFeedback(const ModelDirectory& directory,
                                      const TransformerConfig& backbone,
                                      const NoiseSchedule& schedule, const Execution& execution);

// The module of the model directory `path` with every scale at 0: loops that change nothing.
// Nothing where the model has no module.
absl::StatusOr<std::optional<FeedbackModule>> LoadSilentFeedback(const std::string& path,
                                                                 const Execution& execution);

// The plans of a feedback/config.json.
absl::StatusOr<std::vector<CalibratedPlan>> ReadFeedbackPlans(const JsonConfig& json,
                                                              const NoiseSchedule& schedule);

}  // namespace ilf
