#include "engine/training/subjects.h"

#include <algorithm>
#include <fstream>
#include <map>
#include <memory>
#include <random>
#include <utility>

#include <ATen/core/grad_mode.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "engine/base/status_macros.h"
#include "engine/checkpoint/file_hash.h"
#include "engine/checkpoint/model_directory.h"
#include "engine/pipeline/prompt_reader.h"

namespace ilf {
namespace {

constexpr size_t kPromptsAPass = 64;

absl::StatusOr<std::vector<std::string>> ReadLines(const std::string& file) {
  std::ifstream stream(file);
  if (!stream) return absl::NotFoundError(file + ": cannot be opened");
  std::vector<std::string> lines;
  for (std::string line; std::getline(stream, line);) {
    const absl::string_view prompt = absl::StripSuffix(line, "\r");
    if (!prompt.empty()) lines.emplace_back(prompt);
  }
  if (lines.empty()) return absl::InvalidArgumentError(file + ": holds no prompts");
  return lines;
}

// Neighbouring lines are often alike, and a run may use but the first of them. The standard's
// shuffle differs between libraries.
void Shuffle(std::vector<std::string>& lines) {
  std::mt19937_64 random(0);
  for (size_t i = lines.size() - 1; i > 0; --i) std::swap(lines[i], lines[random() % (i + 1)]);
}

absl::StatusOr<std::vector<std::string>> FirstCaptions(const ImageFolder& folder) {
  std::vector<std::string> captions;
  for (const std::vector<std::string>& texts : folder.captions()) {
    if (texts.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat("picture ", captions.size(), " has no \"text\", which the model reads"));
    }
    captions.push_back(texts[0]);
  }
  return captions;
}

absl::StatusOr<TransformerConfig> ConfigOf(const std::string& model) {
  ILF_ASSIGN_OR_RETURN(const ModelDirectory directory, ReadModelDirectory(model));
  return TransformerConfig::FromJson(directory.transformer);
}

}  // namespace

Subjects ClassesOf(const TransformerConfig& config) {
  Subjects classes;
  for (int64_t i = 0; i < config.num_classes; ++i) classes.all.push_back({.class_index = i});
  return classes;
}

absl::StatusOr<Subjects> EncodePrompts(const std::string& model,
                                       const std::vector<std::string>& prompts,
                                       const Execution& execution) {
  ILF_ASSIGN_OR_RETURN(const ModelDirectory directory, ReadModelDirectory(model));
  ILF_ASSIGN_OR_RETURN(const TransformerConfig config,
                       TransformerConfig::FromJson(directory.transformer));
  ILF_ASSIGN_OR_RETURN(const std::unique_ptr<PromptReader> reader,
                       PromptReader::Load(directory, config, execution, /*cache_bytes=*/0));
  Subjects subjects;
  std::vector<PromptTokens> tokens;
  for (const std::string& prompt : prompts) {
    ILF_ASSIGN_OR_RETURN(tokens.emplace_back(), reader->Tokenize(prompt));
  }
  at::NoGradGuard no_grad;
  for (size_t begin = 0; begin < tokens.size(); begin += kPromptsAPass) {
    const auto end = std::min(begin + kPromptsAPass, tokens.size());
    for (at::Tensor& states : reader->Encode({tokens.begin() + begin, tokens.begin() + end})) {
      subjects.all.push_back({.prompt = std::move(states)});
    }
  }
  ILF_ASSIGN_OR_RETURN(const PromptTokens empty, reader->Tokenize(""));
  subjects.no_prompt = reader->Encode({empty})[0];
  return subjects;
}

absl::StatusOr<Subjects> ReadSubjects(const std::string& model, const std::string& prompts,
                                      const Execution& execution) {
  ILF_ASSIGN_OR_RETURN(const TransformerConfig config, ConfigOf(model));
  if (!config.reads_text()) {
    if (prompts.empty()) return ClassesOf(config);
    return absl::InvalidArgumentError(
        absl::StrCat(model, ": paints classes, not text: it takes no file of prompts (--prompts)"));
  }
  if (prompts.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(model, ": reads text: a file of prompts is needed (--prompts)"));
  }
  ILF_ASSIGN_OR_RETURN(std::vector<std::string> lines, ReadLines(prompts));
  Shuffle(lines);
  ILF_ASSIGN_OR_RETURN(Subjects subjects, EncodePrompts(model, lines, execution));
  ILF_ASSIGN_OR_RETURN(subjects.key, FileSha256(prompts));
  return subjects;
}

absl::StatusOr<Subjects> SubjectsOf(const std::string& model, const ImageFolder& folder,
                                    const Execution& execution) {
  ILF_ASSIGN_OR_RETURN(const TransformerConfig config, ConfigOf(model));
  if (config.reads_text()) {
    ILF_ASSIGN_OR_RETURN(const std::vector<std::string> captions, FirstCaptions(folder));
    return EncodePrompts(model, captions, execution);
  }
  Subjects classes;
  const at::Tensor labels = folder.Labels();
  for (int64_t i = 0; i < labels.size(0); ++i) {
    const int64_t label = labels[i].item<int64_t>();
    if (label < 0 || label >= config.num_classes) {
      return absl::InvalidArgumentError(absl::StrCat("picture ", i, " has class ", label,
                                                     ", the model has ", config.num_classes));
    }
    classes.all.push_back({.class_index = label});
  }
  return classes;
}

std::vector<ImageCondition> ConditionsOf(const Denoiser& denoiser,
                                         absl::Span<const Subject> subjects,
                                         const at::Tensor& no_prompt) {
  std::map<const void*, PromptRows::Context> read;
  const auto context = [&](const at::Tensor& prompt) -> PromptRows::Context {
    if (!prompt.defined()) return nullptr;
    PromptRows::Context& known = read[prompt.unsafeGetTensorImpl()];
    if (known == nullptr) {
      known = std::make_shared<const PromptContext>(denoiser.ReadPrompt(prompt.unsqueeze(0)));
    }
    return known;
  };
  std::vector<ImageCondition> conditions;
  for (const Subject& subject : subjects) {
    ImageCondition& condition = conditions.emplace_back(subject.class_index);
    condition.prompt = context(subject.prompt);
    condition.negative_prompt = context(no_prompt);
  }
  return conditions;
}

}  // namespace ilf
