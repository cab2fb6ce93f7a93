// Writes feedback modules.
#pragma once

#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "absl/status/status.h"
#include "engine/model/feedback_module.h"
#include "engine/pipeline/feedback.h"
#include "engine/training/parameter_set.h"

namespace ilf {

// `model`/feedback: config.json, as LoadFeedback reads it, with the hash of `model`'s backbone, and
// the weights in `dtype`.
absl::Status WriteFeedback(const std::string& model, const FeedbackConfig& config,
                           const std::vector<CalibratedPlan>& plans, const NamedTensors& weights,
                           at::ScalarType dtype);

// The config.json alone, without a hash, to `file`: what a training run starts from.
absl::Status WriteFeedbackPlans(const std::string& file, const FeedbackConfig& config,
                                const std::vector<CalibratedPlan>& plans);

}  // namespace ilf
