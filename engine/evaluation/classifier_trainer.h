// Trains the ImageClassifier on an image folder.
#pragma once

#include <atomic>
#include <string>

#include "absl/status/status.h"
#include "engine/model/image_classifier.h"
#include "engine/training/training_loop.h"

namespace ilf {

struct ClassifierTrainingOptions {
  std::string data;       // image folder to learn from
  std::string test_data;  // image folder that accuracy is measured on
  ClassifierConfig config;
  int64_t largest_shift =
      2;  // pixels that training pictures are moved by at random; half of them are mirrored
  TrainingOptions loop;  // output is the folder to write
};

// Writes config.json (with the accuracy on the test data) and the weights, in float32.
absl::Status TrainClassifier(const ClassifierTrainingOptions& options,
                             const std::atomic<bool>& stop);

}  // namespace ilf
