// The mean of feedback modules that went on from a common one.
#pragma once

#include <string>
#include <vector>

#include <ATen/core/ScalarType.h>

#include "absl/status/status.h"

namespace ilf {

// Writes to `model`/feedback the mean of the modules in the folder feedback/ of `modules` (model
// directories; one that is named twice counts twice; `model` may be among them), in `dtype`.
// Modules that were trained on from a common one, on other noises or for longer, lie in one valley
// of the loss: their mean forgets what each has learned by heart (Wortsman et al., "Model soups",
// ICML 2022). The plans are those of the first; the coefficients of each are the mean over the
// modules that have it, the same but for coefficients, `equivalent_steps` and guidance scales.
// INVALID_ARGUMENT names the module that was trained for another backbone than that of `model`, or
// whose settings are not those of the first; errors of files otherwise.
absl::Status AverageFeedback(const std::vector<std::string>& modules, const std::string& model,
                             at::ScalarType dtype);

}  // namespace ilf
