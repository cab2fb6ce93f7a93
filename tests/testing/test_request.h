// Requests for tests.
#pragma once

#include <string>

#include "engine/api/generation.h"

namespace ilf {

// One 64x64 image of class 0 of model "fake" in `steps` steps without guidance (one row), no
// previews.
GenerationRequest TestRequest(std::string id, int steps = 4, int image_count = 1);

}  // namespace ilf
