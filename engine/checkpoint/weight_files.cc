#include "engine/checkpoint/weight_files.h"

#include <filesystem>
#include <set>

#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "engine/checkpoint/json_config.h"

namespace ilf {

absl::StatusOr<WeightFiles> FindWeightFiles(const std::string& whole) {
  namespace fs = std::filesystem;
  const std::string index = whole + ".index.json";
  std::error_code error;
  if (fs::exists(whole, error) || !fs::exists(index, error)) return WeightFiles{"", {whole}, {}};
  WeightFiles found;
  found.index = index;
  ILF_ASSIGN_OR_RETURN(const JsonConfig json, JsonConfig::Load(index));
  ILF_ASSIGN_OR_RETURN(found.shard_of, json.GetStringMap("weight_map"));
  const std::string folder = fs::path(whole).parent_path().string();
  std::set<std::string> paths;
  for (const auto& [tensor, shard] : found.shard_of) {
    if (shard.find('/') != std::string::npos) {
      return absl::InvalidArgumentError(
          absl::StrCat(index, ": shard '", shard, "' must be a file of the same folder"));
    }
    paths.insert(absl::StrCat(folder, "/", shard));
  }
  found.files.assign(paths.begin(), paths.end());
  return found;
}

}  // namespace ilf
