// What the images of a training or evaluation run show.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/model/execution.h"
#include "engine/model/transformer_config.h"
#include "engine/pipeline/denoiser.h"
#include "engine/training/image_folder.h"

namespace ilf {

// A class of a class-conditional model, or a prompt of a model that reads text.
struct Subject {
  int64_t class_index = 0;
  at::Tensor prompt =
      {};  // as the text encoder gives it, [tokens, channels]; undefined without text
};

struct Subjects {
  std::vector<Subject> all;  // images take turns
  at::Tensor no_prompt;      // the empty prompt, like Subject::prompt
  std::string key;           // tells the prompts of one file from those of another
};

Subjects ClassesOf(const TransformerConfig& config);

// The classes of the model directory `model`; or, where its transformer reads text, the lines of
// the text file `prompts` in a fixed shuffled order, each line one prompt. INVALID_ARGUMENT where
// the model needs the file and there is none, or the other way round; errors of files otherwise.
absl::StatusOr<Subjects> ReadSubjects(const std::string& model, const std::string& prompts,
                                      const Execution& execution);

// By picture of `folder` its class, or its first caption where the transformer of the model
// directory `model` reads text. INVALID_ARGUMENT names a picture without a caption, or of a class
// that the model does not have.
absl::StatusOr<Subjects> SubjectsOf(const std::string& model, const ImageFolder& folder,
                                    const Execution& execution);

// `prompts` and the empty prompt through tokenizer and text encoder of the model directory `model`.
absl::StatusOr<Subjects> EncodePrompts(const std::string& model,
                                       const std::vector<std::string>& prompts,
                                       const Execution& execution);

// What `denoiser` is told of each subject and, for guidance, of `no_prompt`. A prompt that several
// subjects share is read once. Differentiable in the module's weights.
std::vector<ImageCondition> ConditionsOf(const Denoiser& denoiser,
                                         absl::Span<const Subject> subjects,
                                         const at::Tensor& no_prompt);

}  // namespace ilf
