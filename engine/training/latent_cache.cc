#include "engine/training/latent_cache.h"

#include <algorithm>
#include <filesystem>
#include <utility>
#include <vector>

#include <torch/types.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "engine/base/status_macros.h"
#include "engine/checkpoint/json_config.h"
#include "engine/checkpoint/safetensors_writer.h"
#include "engine/checkpoint/state_dict.h"

namespace ilf {
namespace {

constexpr int64_t kBatch = 64;

// Tells one version of the autoencoder's weights from another: when the last of their files was
// written.
std::string AutoencoderKey(const std::string& model) {
  std::filesystem::file_time_type::rep last = 0;
  for (const auto& entry : std::filesystem::directory_iterator(model + "/vae")) {
    if (entry.path().extension() != ".safetensors") continue;
    last = std::max(last, entry.last_write_time().time_since_epoch().count());
  }
  return absl::StrCat(last);
}

// The cached latents; undefined when there are none that fit.
at::Tensor ReadCache(const std::string& file, const std::string& tensor, int64_t count) {
  absl::StatusOr<StateDict> cache = StateDict::Load(file);
  if (!cache.ok() || !cache->Has(tensor)) return {};
  const absl::StatusOr<std::vector<int64_t>> shape = cache->Shape(tensor);
  if (!shape.ok() || shape->empty() || (*shape)[0] != count) return {};
  const absl::StatusOr<at::Tensor> latents = cache->Take(tensor, *shape);
  return latents.ok() ? *latents : at::Tensor();
}

}  // namespace

absl::StatusOr<at::Tensor> EncodeImages(const ImageFolder& folder, const AutoencoderKl& autoencoder,
                                        c10::Device device, const std::string& file,
                                        const std::string& key) {
  const std::string tensor = "latents." + key;
  if (const at::Tensor cached = ReadCache(file, tensor, folder.size()); cached.defined()) {
    return cached;
  }
  at::NoGradGuard no_grad;
  std::vector<at::Tensor> parts;
  for (int64_t begin = 0; begin < folder.size(); begin += kBatch) {
    std::vector<int64_t> indices;
    for (int64_t i = begin; i < std::min(begin + kBatch, folder.size()); ++i) indices.push_back(i);
    ILF_ASSIGN_OR_RETURN(const at::Tensor images, folder.Images(indices));
    parts.push_back(autoencoder.Encode(images.to(device)).mean.to(at::kCPU, at::kFloat) *
                    autoencoder.config().scaling_factor);
    if (begin / kBatch % 50 == 0) {
      absl::FPrintF(stderr, "encoding pictures: %d of %d\n", begin, folder.size());
    }
  }
  const at::Tensor latents = at::cat(parts);
  ILF_RETURN_IF_ERROR(WriteSafetensors(file, {{tensor, latents}}, {}));
  return latents;
}

absl::StatusOr<AutoencoderKl> LoadAutoencoder(const std::string& model, c10::Device device) {
  ILF_ASSIGN_OR_RETURN(const JsonConfig json, JsonConfig::Load(model + "/vae/config.json"));
  ILF_ASSIGN_OR_RETURN(const AutoencoderConfig config, AutoencoderConfig::FromJson(json));
  ILF_ASSIGN_OR_RETURN(StateDict weights,
                       StateDict::LoadFolder(model + "/vae", "diffusion_pytorch_model"));
  return AutoencoderKl::Load(config, weights, {.device = device});
}

absl::StatusOr<LatentData> LoadLatents(const std::string& data, int64_t image_size,
                                       const std::string& model, const AutoencoderKl& autoencoder,
                                       c10::Device device) {
  ILF_ASSIGN_OR_RETURN(const ImageFolder folder,
                       ImageFolder::Open(data, static_cast<int>(image_size)));
  std::error_code error;
  std::filesystem::create_directories(model + "/training", error);
  LatentData result;
  ILF_ASSIGN_OR_RETURN(const std::string pictures, folder.Identity());
  ILF_ASSIGN_OR_RETURN(
      result.latents,
      EncodeImages(folder, autoencoder, device, model + "/training/latents.safetensors",
                   absl::StrCat(AutoencoderKey(model), ".", pictures)));
  result.labels = folder.Labels();
  result.label_names = folder.label_names();
  result.pass = folder.pass();
  return result;
}

}  // namespace ilf
