#include "engine/checkpoint/model_directory.h"

#include <filesystem>
#include <map>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "engine/checkpoint/file_hash.h"
#include "engine/checkpoint/weight_files.h"

namespace ilf {
namespace {

namespace fs = std::filesystem;

constexpr char kWeights[] = "diffusion_pytorch_model.safetensors";
constexpr char kTextWeights[] = "model.safetensors";
constexpr char kTextEncoder[] = "text_encoder";

// The name of a pickle of weights, whole or a shard of it (diffusion_pytorch_model.bin,
// pytorch_model-00001-of-00002.bin); empty when the folder holds none.
std::string PickleIn(const fs::path& folder) {
  std::string first;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error); !error && entry != fs::directory_iterator();
       entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (!absl::StrContains(name, "pytorch_model") || !absl::EndsWith(name, ".bin")) continue;
    if (first.empty() || name < first) first = name;
  }
  return first;
}

absl::Status NoSuchWeights(const std::string& file) {
  const std::string pickle = PickleIn(fs::path(file).parent_path());
  if (pickle.empty()) return absl::NotFoundError(absl::StrCat(file, ": no such file"));
  return absl::NotFoundError(
      absl::StrCat(file, ": no such file (the pickle ", pickle,
                   " beside it is never loaded: convert it to safetensors)"));
}

absl::Status CheckWeights(const std::string& weights) {
  ILF_ASSIGN_OR_RETURN(const WeightFiles found, FindWeightFiles(weights));
  for (const std::string& file : found.files) {
    std::error_code error;
    if (!fs::is_regular_file(file, error)) return NoSuchWeights(file);
  }
  return absl::OkStatus();
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
  if (!fs::is_directory(path, error)) {
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
  if (model.text_encoder) {
    ILF_RETURN_IF_ERROR(CheckWeights(absl::StrCat(model.TextEncoderFolder(), "/", kTextWeights)));
  }
  return model;
}

absl::StatusOr<std::string> WeightsSha256(const std::string& file) {
  ILF_ASSIGN_OR_RETURN(const WeightFiles found, FindWeightFiles(file));
  if (found.index.empty()) return FileSha256(found.files.front());
  std::string hashes;
  for (const std::string& shard : found.files) {
    ILF_ASSIGN_OR_RETURN(const std::string hash, FileSha256(shard));
    hashes += hash;
  }
  return Sha256(hashes);
}

absl::StatusOr<std::string> BackboneSha256(const ModelDirectory& directory) {
  return WeightsSha256(directory.TransformerWeights());
}

}  // namespace ilf
