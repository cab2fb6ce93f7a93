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

// `model`/feedback: the weights in `dtype`, then config.json, as LoadFeedback reads it. Each file
// is replaced as a whole. `backbone_sha256`: BackboneSha256 of the backbone that it was trained on.
absl::Status WriteFeedback(const std::string& model, const std::string& backbone_sha256,
                           const FeedbackConfig& config, const std::vector<CalibratedPlan>& plans,
                           const NamedTensors& weights, at::ScalarType dtype);

// The config.json alone, without a hash, as text.
std::string FeedbackConfigText(const FeedbackConfig& config,
                               const std::vector<CalibratedPlan>& plans);

// The same to `file`: what a training run starts from.
absl::Status WriteFeedbackPlans(const std::string& file, const FeedbackConfig& config,
                                const std::vector<CalibratedPlan>& plans);

}  // namespace ilf
