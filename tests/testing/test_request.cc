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

}  // namespace ilf
