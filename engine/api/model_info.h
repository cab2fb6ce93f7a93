// What a served model accepts: the source of ListModels and of request validation.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/api/generation.h"

namespace ilf {

struct ImageSize {
  int width = 0;   // pixels
  int height = 0;  // pixels
};

// Sides in pixels that a model makes pictures with.
struct SizeRange {
  int min_side = 0;
  int max_side = 0;
  int multiple = 1;  // that both sides are of
};

// A step plan with Inner Loop Feedback that a model's module was trained for.
struct FeedbackPlanInfo {
  int steps = 0;
  Solver solver = Solver::kDdim;
  int feedback_steps = 0;         // of the steps, those that run feedback
  int64_t block_evaluations = 0;  // transformer blocks that run, per row
  int equivalent_steps = 0;  // plain steps of the same solver that reach its quality, as measured
  double min_guidance_scale = 1.0;  // measured between these
  double max_guidance_scale = 1.0;

  bool Covers(double guidance_scale) const {
    return guidance_scale >= min_guidance_scale && guidance_scale <= max_guidance_scale;
  }
};

struct ModelInfo {
  std::string name;          // folder name under the model root
  std::string architecture;  // "DiT", "PixArt-alpha", "PixArt-Sigma"
  std::string dtype;         // "float32" or "bfloat16"

  bool accepts_labels = false;
  bool accepts_prompt = false;
  int max_prompt_tokens = 0;        // of its tokenizer, with the end token; the rest is cut
  std::vector<std::string> labels;  // by class index; a label may list synonyms, separated by ','

  ImageSize default_size;
  std::vector<ImageSize> sizes;         // every size it can make, but for those of size_range
  std::optional<SizeRange> size_range;  // any size within it

  int default_steps = 0;
  int max_steps = 0;  // length of the noise schedule
  double default_guidance_scale = 1.0;
  Solver default_solver = Solver::kDdim;
  std::vector<Solver> solvers;

  int blocks = 0;  // transformer blocks of a plain pass
  std::vector<FeedbackPlanInfo>
      feedback_plans;  // empty without a feedback module; the first is the default
};

// The model's feedback plan of so many steps with `solver` (any, when it is not given), one that
// was measured with this guidance scale where there is one; nullptr when it has none.
const FeedbackPlanInfo* FindFeedbackPlan(const ModelInfo& model, int steps,
                                         std::optional<Solver> solver, double guidance_scale);

// Class index of `name`: a whole label, or one of its synonyms, without regard to ASCII case.
// NOT_FOUND names the model; INVALID_ARGUMENT when several classes share the name.
absl::StatusOr<int> FindLabel(const ModelInfo& model, absl::string_view name);

// "ddim", "dpmsolver++", "euler".
absl::string_view SolverName(Solver solver);

}  // namespace ilf
