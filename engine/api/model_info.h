// What a served model accepts: the source of ListModels and of request validation.
#pragma once

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

struct ModelInfo {
  std::string name;          // folder name under the model root
  std::string architecture;  // "DiT", "PixArt-alpha", "PixArt-Sigma"
  std::string dtype;         // "float32" or "bfloat16"

  bool accepts_labels = false;
  bool accepts_prompt = false;
  std::vector<std::string> labels;  // by class index; a label may list synonyms, separated by ','

  ImageSize default_size;
  std::vector<ImageSize> sizes;  // every size it can make

  int default_steps = 0;
  int max_steps = 0;  // length of the noise schedule
  double default_guidance_scale = 1.0;
  Solver default_solver = Solver::kDdim;
  std::vector<Solver> solvers;

  bool has_feedback = false;
  int blocks = 0;  // transformer blocks of a plain pass
};

// Class index of `name`: a whole label, or one of its synonyms, without regard to ASCII case.
// NOT_FOUND names the model; INVALID_ARGUMENT when several classes share the name.
absl::StatusOr<int> FindLabel(const ModelInfo& model, absl::string_view name);

// "ddim", "dpmsolver++".
absl::string_view SolverName(Solver solver);

}  // namespace ilf
