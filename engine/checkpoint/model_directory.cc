#include "engine/checkpoint/model_directory.h"

#include <filesystem>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"

namespace ilf {
namespace {

constexpr char kWeights[] = "diffusion_pytorch_model.safetensors";
constexpr char kTextEncoder[] = "text_encoder";
constexpr char kPickle[] = "diffusion_pytorch_model.bin";

absl::Status CheckWeights(const std::string& weights) {
  std::error_code error;
  const std::filesystem::path path(weights);
  if (std::filesystem::is_regular_file(path, error)) return absl::OkStatus();
  if (std::filesystem::exists(path.parent_path() / kPickle, error)) {
    return absl::NotFoundError(
        absl::StrCat(weights, ": no such file (the pickle ", kPickle,
                     " beside it is never loaded: convert it to safetensors)"));
  }
  return absl::NotFoundError(absl::StrCat(weights, ": no such file"));
}

// diffusers keeps class names as {"0": name, "1": name, ...}.
absl::StatusOr<std::vector<std::string>> ReadLabels(const JsonConfig& model_index) {
  using NameById = std::map<std::string, std::string>;
  ILF_ASSIGN_OR_RETURN(const NameById names, model_index.GetStringMap("id2label", NameById()));
  std::vector<std::string> labels;
  for (size_t id = 0; id < names.size(); ++id) {
    const auto found = names.find(absl::StrCat(id));
    if (found == names.end()) {
      return absl::InvalidArgumentError(absl::StrCat(model_index.origin(), ": 'id2label' has ",
                                                     names.size(), " entries but no class ", id));
    }
    labels.push_back(found->second);
  }
  return labels;
}

}  // namespace

std::string ModelDirectory::TransformerWeights() const {
  return absl::StrCat(path, "/transformer/", kWeights);
}

std::string ModelDirectory::VaeWeights() const { return absl::StrCat(path, "/vae/", kWeights); }

std::string ModelDirectory::TextEncoderFolder() const {
  return absl::StrCat(path, "/", kTextEncoder);
}

std::string ModelDirectory::TokenizerFolder() const { return absl::StrCat(path, "/tokenizer"); }

std::string ModelDirectory::FeedbackConfigFile() const {
  return absl::StrCat(path, "/feedback/config.json");
}

std::string ModelDirectory::FeedbackWeights() const {
  return absl::StrCat(path, "/feedback/", kWeights);
}

absl::StatusOr<ModelDirectory> ReadModelDirectory(const std::string& path) {
  std::error_code error;
  if (!std::filesystem::is_directory(path, error)) {
    return absl::NotFoundError(absl::StrCat(path, ": no such directory"));
  }
  ModelDirectory model;
  model.path = path;
  ILF_ASSIGN_OR_RETURN(model.model_index, JsonConfig::Load(path + "/model_index.json"));
  ILF_ASSIGN_OR_RETURN(model.transformer, JsonConfig::Load(path + "/transformer/config.json"));
  ILF_ASSIGN_OR_RETURN(model.vae, JsonConfig::Load(path + "/vae/config.json"));
  ILF_ASSIGN_OR_RETURN(model.scheduler,
                       JsonConfig::Load(path + "/scheduler/scheduler_config.json"));
  if (model.model_index.Has(kTextEncoder)) {
    ILF_ASSIGN_OR_RETURN(model.text_encoder,
                         JsonConfig::Load(model.TextEncoderFolder() + "/config.json"));
  }
  ILF_ASSIGN_OR_RETURN(model.labels, ReadLabels(model.model_index));
  ILF_RETURN_IF_ERROR(CheckWeights(model.TransformerWeights()));
  ILF_RETURN_IF_ERROR(CheckWeights(model.VaeWeights()));
  return model;
}

}  // namespace ilf
