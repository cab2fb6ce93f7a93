#include "tools/eval_pictures.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "engine/base/status_macros.h"
#include "engine/image/codec.h"
#include "engine/pipeline/diffusion_model.h"
#include "engine/training/model_files.h"

namespace ilf {
namespace {

constexpr int64_t kPart = 256;  // pictures that are painted before they are written

absl::Status WritePng(const at::Tensor& picture, const std::string& file) {
  const RgbImage image = ToRgbImage(picture);
  ILF_ASSIGN_OR_RETURN(const std::string png,
                       EncodePng({image.width, image.height, image.pixels.data()}));
  return ReplaceFile(file, png);
}

// Makes the folder one of this identity.
absl::Status Claim(const std::string& folder, const std::string& identity) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) {
    return absl::InvalidArgumentError(absl::StrCat("--pictures: ", folder, ": ", error.message()));
  }
  const std::string file = folder + "/identity";
  std::ifstream in(file);
  if (!in) return ReplaceFile(file, identity);
  if (std::string(std::istreambuf_iterator<char>(in), {}) == identity) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "--pictures: ", folder,
      " holds pictures of other weights, plan, noises or settings: name another folder"));
}

}  // namespace

absl::Status WriteCellPictures(const Evaluator& evaluator, const Cell& cell,
                               const Reference& images, const std::string& folder,
                               const std::string& identity, const std::atomic<bool>& stop) {
  ILF_RETURN_IF_ERROR(Claim(folder, identity));
  const auto file_of = [&](int64_t i) { return absl::StrFormat("%s/%06d.png", folder, i); };
  for (int64_t begin = 0; begin < images.images(); begin += kPart) {
    if (stop) return absl::CancelledError("stopped; the same command goes on from there");
    const int64_t end = std::min(begin + kPart, images.images());
    std::error_code error;
    if (std::filesystem::exists(file_of(end - 1), error)) continue;  // the last of a part
    Measurement cost;
    ILF_ASSIGN_OR_RETURN(const at::Tensor latents,
                         evaluator.Sample(cell, images.Images(begin, end - begin), cost));
    const at::Tensor pictures = evaluator.Decode(latents);
    for (int64_t i = begin; i < end; ++i) {
      ILF_RETURN_IF_ERROR(WritePng(pictures[i - begin], file_of(i)));
    }
  }
  return absl::OkStatus();
}

}  // namespace ilf
