#include "tests/testing/test_request.h"

#include <utility>

namespace ilf {

GenerationRequest TestRequest(std::string id, int steps, int image_count) {
  GenerationRequest request;
  request.request_id = std::move(id);
  request.model = "fake";
  request.condition = ClassCondition{0};
  request.width = 64;
  request.height = 64;
  request.steps = steps;
  request.image_count = image_count;
  return request;
}

ModelInfo TestModel() {
  ModelInfo model;
  model.name = "fake";
  model.architecture = "DiT";
  model.dtype = "float32";
  model.accepts_labels = true;
  model.labels = {"T-shirt, top", "trouser"};
  model.default_size = {64, 64};
  model.sizes = {{64, 64}, {128, 128}};
  model.default_steps = 4;
  model.max_steps = 1000;
  model.solvers = {Solver::kDdim, Solver::kDpmSolverPp2m};
  model.blocks = 28;
  return model;
}

}  // namespace ilf
