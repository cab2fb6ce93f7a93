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

  // Where the weights are in shards, these files are absent, and FILE.index.json lists the shards
  // beside it: StateDict::LoadFolder reads both.
  std::string TransformerWeights() const;
  std::string VaeWeights() const;
  // Of a model that reads text. Its weights, "model", may be in shards too.
  std::string TextEncoderFolder() const;
  std::string TokenizerFolder() const;
  // Of Inner Loop Feedback; not every model has them.
  std::string FeedbackConfigFile() const;
  std::string FeedbackWeights() const;
};

// Reads every config and sees that the weight files are there, each shard too. What is missing or
// wrong is one line that names the file and the reason.
absl::StatusOr<ModelDirectory> ReadModelDirectory(const std::string& path);

// The identity of weights, of TransformerWeights() or VaeWeights(): FileSha256 of their file, or
// where they are in shards, Sha256 of the FileSha256 of each, one after the other in the order of
// the shards' names. The errors of reading the files.
absl::StatusOr<std::string> WeightsSha256(const std::string& file);

// That of the transformer, which feedback/config.json calls backbone_sha256. Only directory.path is
// looked at.
absl::StatusOr<std::string> BackboneSha256(const ModelDirectory& directory);

}  // namespace ilf
