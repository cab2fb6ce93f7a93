#include "tests/server/test_models.h"

namespace ilf {

ModelInfo ClassModel() {
  ModelInfo model;
  model.name = "dit";
  model.architecture = "DiT";
  model.dtype = "float32";
  model.accepts_labels = true;
  model.labels = {"T-shirt/top", "Trouser, trousers", "Bag"};
  model.default_size = {64, 64};
  model.sizes = {{64, 64}, {128, 96}};
  model.default_steps = 20;
  model.max_steps = 1000;
  model.default_guidance_scale = 4.0;
  model.default_solver = Solver::kDdim;
  model.solvers = {Solver::kDdim};
  model.blocks = 28;
  return model;
}

ModelInfo TextModel() {
  ModelInfo model;
  model.name = "pixart";
  model.architecture = "PixArt-Sigma";
  model.dtype = "bfloat16";
  model.accepts_prompt = true;
  model.max_prompt_tokens = 300;
  model.default_size = {512, 512};
  model.sizes = {{512, 512}};
  model.default_steps = 20;
  model.max_steps = 1000;
  model.default_guidance_scale = 4.5;
  model.default_solver = Solver::kDpmSolverPp2m;
  model.solvers = {Solver::kDdim, Solver::kDpmSolverPp2m};
  model.blocks = 28;
  model.feedback_plans = {{.steps = 10,
                           .solver = Solver::kDdim,
                           .feedback_steps = 4,
                           .block_evaluations = 332,
                           .equivalent_steps = 20,
                           .min_guidance_scale = 2.0,
                           .max_guidance_scale = 6.0},
                          {.steps = 7,
                           .solver = Solver::kDpmSolverPp2m,
                           .feedback_steps = 1,
                           .block_evaluations = 209,
                           .equivalent_steps = 9,
                           .min_guidance_scale = 1.0,
                           .max_guidance_scale = 6.0}};
  return model;
}

}  // namespace ilf
