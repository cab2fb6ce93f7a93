// A model on disk in diffusers' directory layout.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/checkpoint/json_config.h"

namespace ilf {

// The configs of a model and where its weights are. Only safetensors files are ever opened, never a
// pickle.
struct ModelDirectory {
  std::string path;
  JsonConfig model_index;
  JsonConfig transformer;
  JsonConfig vae;
  JsonConfig scheduler;
  std::optional<JsonConfig> text_encoder;  // of a model that reads text
  std::vector<std::string> labels;  // class names by index; empty for a model without classes

  std::string TransformerWeights() const;
  std::string VaeWeights() const;
  // Of a model that reads text. The weights may be in several files: StateDict::LoadFolder.
  std::string TextEncoderFolder() const;
  std::string TokenizerFolder() const;
  // Of Inner Loop Feedback; not every model has them.
  std::string FeedbackConfigFile() const;
  std::string FeedbackWeights() const;
};

// Reads every config and sees that the weight files are there. What is missing or wrong is one line
// that names the file and the reason.
absl::StatusOr<ModelDirectory> ReadModelDirectory(const std::string& path);

}  // namespace ilf
