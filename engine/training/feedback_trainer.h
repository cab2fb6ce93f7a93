// Trains a feedback module (Inner Loop Feedback) for a model directory. docs/ilf.md has the method.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "engine/training/feedback_losses.h"
#include "engine/training/training_loop.h"

namespace ilf {

// The states that the module learns on.
enum class FeedbackStates {
  kSampler,  // those that the accelerated sampler itself visits from noise; target: the reference
             // of that noise
  kImages,   // noised pictures of a data set
};

// What the module's block is before it learns; its scales are zero.
enum class InitialBlock {
  kIdentity,  // random weights behind gates of zero (adaLN-Zero); the paper trains from scratch
  kBackbone,  // a copy of the last inner block
};

struct FeedbackTrainingOptions {
  std::string plans;    // JSON file: feedback/config.json without backbone_sha256
                        // (engine/pipeline/feedback.h)
  std::string prompts;  // text file, one prompt a line, of a model that reads text
  FeedbackStates states = FeedbackStates::kSampler;
  SamplerLoss loss = SamplerLoss::kFinal;
  // Image folder. With kImages what is noised: its first captions are read by a model that reads
  // text. With `classifier` the real pictures.
  std::string data;
  TeacherOptions teacher;  // with kImages
  // With kPictures: a folder of `ilf-train classifier`, by whose features the pictures are to come
  // nearer to those of `data` in Frechet distance (feature_pull.h); empty for none. Whatever
  // judges the result should be another one.
  std::string classifier;
  // What the Frechet distance counts, relative to that of the references, beside the square error
  // of the pictures, relative to what it is before training.
  double feature_weight = 1.0;

  InitialBlock initial = InitialBlock::kIdentity;
  // Model directory whose module (of the same config) the run starts from, scales and all, in place
  // of `initial`: one trained for other plans, or for an earlier state of the backbone. Empty for
  // none.
  std::string initial_model;

  // Noises of the references; of those to train on, the first, so that a run that goes on from a
  // module (initial_model) may take noises that it has not seen.
  int64_t first_train_image = 0;
  int64_t train_images = 4096;
  int64_t validation_images = 256;
  int reference_steps = 60;
  // The scales, and the coefficients of plans that have them, learn so many times faster than the
  // block.
  double scale_gain = 10.0;
  double coefficient_gain = 1.0;
  int patience = 8;  // checkpoints without a better validation after which the run ends; 0: never
  at::ScalarType save_dtype = at::kHalf;
  bool bf16_backbone = true;  // the frozen blocks compute in bfloat16
  // output is the model directory; bf16 (autocast) is not used.
  TrainingOptions loop;
};

// The module learns, and the coefficients of the plans that have them (on kSampler states); nothing
// of the backbone does, and no gradient of its weights is kept. On kSampler states every loss is
// relative to the mean square error that its plan has on the held-out noises before training. At
// each checkpoint the RMSE of every plan on held-out noises is logged to
// `loop.output`/training/feedback/validation.jsonl, with a classifier beside the Frechet distance
// to the real pictures, relative to that of the references (FeaturePull::Distance); the best
// checkpoint so far is written to `loop.output`/feedback. kImages needs plans whose feedback is not
// in the history. INVALID_ARGUMENT names what is wrong with plans or data.
absl::Status TrainFeedback(const FeedbackTrainingOptions& options, const std::atomic<bool>& stop);

}  // namespace ilf
