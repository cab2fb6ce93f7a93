// What a feedback run learns from, made ready before its first step.
#pragma once

#include <atomic>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "absl/status/statusor.h"
#include "engine/checkpoint/model_directory.h"
#include "engine/model/execution.h"
#include "engine/model/transformer.h"
#include "engine/pipeline/feedback.h"
#include "engine/sampling/noise_schedule.h"
#include "engine/training/feedback_trainer.h"
#include "engine/training/parameter_set.h"
#include "engine/training/reference.h"

namespace ilf {

// What a feedback module is trained for.
struct BackboneFacts {
  TransformerConfig config;
  NoiseSchedule schedule;
  std::string sha256;  // BackboneSha256
};

// The errors of reading the files.
absl::StatusOr<BackboneFacts> ReadBackboneFacts(const ModelDirectory& directory);

// The frozen backbone, and where it comes from.
struct Backbone {
  Transformer transformer;
  NoiseSchedule schedule;
  std::string sha256;  // BackboneSha256
};

// Of the model directory `options.loop.output`. The errors of reading it.
absl::StatusOr<Backbone> LoadBackbone(const FeedbackTrainingOptions& options,
                                      const Execution& execution);

// Where references and the run's state are kept.
std::string FeedbackFolderOf(const FeedbackTrainingOptions& options);

// What is to be learned, and from what.
struct Lesson {
  FeedbackConfig config;
  std::vector<CalibratedPlan> plans;  // they state their timesteps
  std::vector<Reference> training;    // by plan, with kSampler
  std::vector<Reference> validation;  // by plan
};

// Reads the plans and solves their references, with a backbone of `dtype`; CANCELLED once `stop` is
// set. INVALID_ARGUMENT names what is wrong with the plans.
absl::StatusOr<Lesson> PrepareLesson(const FeedbackTrainingOptions& options, at::ScalarType dtype,
                                     const std::atomic<bool>& stop);

// What the module starts as: by `options.initial`, or the module of `options.initial_model`; its
// scales as the optimizer sees them, divided by `options.scale_gain`.
absl::StatusOr<NamedTensors> InitialWeights(const FeedbackTrainingOptions& options,
                                            const FeedbackConfig& config,
                                            const TransformerConfig& backbone);

}  // namespace ilf
