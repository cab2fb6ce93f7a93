// Models as an engine would describe them.
#pragma once

#include "engine/api/model_info.h"

namespace ilf {

// "dit": three classes, sizes 64x64 and 128x96, DDIM only, no feedback module.
ModelInfo ClassModel();

// "pixart": prompts, 512x512, both solvers, a feedback module.
ModelInfo TextModel();

}  // namespace ilf
