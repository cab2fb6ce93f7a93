#include "engine/training/model_files.h"

#include <filesystem>
#include <fstream>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "engine/checkpoint/safetensors_writer.h"

namespace ilf {

absl::Status ReplaceFile(const std::string& file, absl::string_view bytes) {
  const std::string temporary = absl::StrCat(file, ".tmp");
  std::ofstream out(temporary, std::ios::binary);
  out << bytes;
  out.close();
  if (!out) return absl::UnavailableError(absl::StrCat(temporary, ": cannot be written"));
  std::error_code error;
  std::filesystem::rename(temporary, file, error);
  if (error) return absl::UnavailableError(absl::StrCat(file, ": ", error.message()));
  return absl::OkStatus();
}

absl::Status WriteJson(const std::string& folder, const std::string& name,
                       const nlohmann::ordered_json& json) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) return absl::UnavailableError(absl::StrCat(folder, ": ", error.message()));
  return ReplaceFile(absl::StrCat(folder, "/", name), json.dump(2) + "\n");
}

absl::Status WriteWeights(const std::string& folder, const NamedTensors& weights,
                          at::ScalarType dtype, const std::string& name) {
  std::vector<std::pair<std::string, at::Tensor>> tensors;
  for (const auto& [name, tensor] : weights) {
    tensors.emplace_back(name, tensor.detach().to(at::kCPU, dtype).contiguous());
  }
  return WriteSafetensors(absl::StrCat(folder, "/", name), tensors, {{"format", "pt"}});
}

}  // namespace ilf
