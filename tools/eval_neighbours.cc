#include "tools/eval_neighbours.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include <torch/types.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "engine/base/status_macros.h"
#include "engine/evaluation/cell.h"
#include "engine/evaluation/neighbours.h"
#include "engine/evaluation/picture_rows.h"
#include "engine/training/reference.h"

namespace ilf {
namespace {

constexpr int kSteps = 50;
constexpr int64_t kTestPictures = 200;

absl::StatusOr<ImageFolder> OpenFolder(absl::string_view flag, const std::string& path, int side) {
  absl::StatusOr<ImageFolder> folder = ImageFolder::Open(path, side);
  if (folder.ok()) return folder;
  return absl::Status(folder.status().code(), absl::StrCat(flag, ": ", folder.status().message()));
}

std::vector<int64_t> FirstIndices(const Neighbours& found, int64_t count) {
  const at::Tensor indices = found.indices.contiguous();
  return {indices.data_ptr<int64_t>(), indices.data_ptr<int64_t>() + count};
}

// `, "KIND_distance": 0.1, "KIND_neighbour": 7, "KIND_neighbour_class": 3`
std::string OneOf(absl::string_view kind, const Neighbours& found, int64_t i,
                  const at::Tensor& labels) {
  const int64_t index = found.indices[i].item<int64_t>();
  return absl::StrFormat(
      ", \"%s_distance\": %.6f, \"%s_neighbour\": %d, \"%s_neighbour_class\": %d", kind,
      found.distances[i].item<float>(), kind, index, kind, labels[index].item<int64_t>());
}

// Of the first `samples` queries, and of the test pictures after them.
std::string MediansOf(absl::string_view kind, const Neighbours& found, int64_t samples) {
  std::string text;
  const int64_t tests = found.distances.numel() - samples;
  const auto add = [&](absl::string_view prefix, const at::Tensor& distances) {
    absl::StrAppendFormat(&text, ", \"%smedian_%s_distance\": %.6f, \"%sleast_%s_distance\": %.6f",
                          prefix, kind, distances.quantile(0.5).item<float>(), prefix, kind,
                          distances.min().item<float>());
  };
  add("", found.distances.narrow(0, 0, samples));
  if (tests > 0) add("test_", found.distances.narrow(0, samples, tests));
  return text;
}

void Print(const Cell& cell, double guidance, const Reference& start,
           const PictureNeighbours& found, const at::Tensor& labels) {
  const int64_t samples = start.images();
  for (int64_t i = 0; i < samples; ++i) {
    std::string line =
        absl::StrFormat("{\"picture\": %d, \"class\": %d", i, start.subjects[i].class_index);
    absl::StrAppend(&line, OneOf("pixel", found.by_pixels, i, labels));
    if (found.by_features) absl::StrAppend(&line, OneOf("feature", *found.by_features, i, labels));
    absl::PrintF("%s}\n", line);
  }
  std::string line = absl::StrFormat(
      "{\"neighbours_of\": \"%s\", \"guidance\": %g, \"pictures\": %d, \"test_pictures\": %d",
      cell.name, guidance, samples, found.by_pixels.distances.numel() - samples);
  absl::StrAppend(&line, MediansOf("pixel", found.by_pixels, samples));
  if (found.by_features) {
    absl::StrAppend(&line, MediansOf("feature", *found.by_features, samples));
  }
  absl::PrintF("%s}\n", line);
}

}  // namespace

absl::StatusOr<NeighbourReport> NeighbourReport::Create(const EvalOptions& options, int side) {
  const absl::Status fits = CheckRowsFit(3, options.neighbours_of, side);
  if (!fits.ok()) {
    return absl::InvalidArgumentError(absl::StrCat("--neighbours_of: ", fits.message()));
  }
  ILF_ASSIGN_OR_RETURN(ImageFolder training, OpenFolder("--training", options.training, side));
  std::optional<ImageFolder> test;
  if (!options.real.empty()) {
    ILF_ASSIGN_OR_RETURN(test, OpenFolder("--real", options.real, side));
  }
  return NeighbourReport(options, std::move(training), std::move(test));
}

absl::StatusOr<at::Tensor> NeighbourReport::TestPictures() const {
  if (!test_) return training_.Images({});
  return test_->Images(BatchIndices(test_->size(), std::min(kTestPictures, test_->size()),
                                    /*step=*/0, /*seed=*/0));
}

absl::Status NeighbourReport::Run(const DiffusionModel& model, const Evaluator& evaluator,
                                  const ImageClassifier* classifier,
                                  const std::atomic<bool>& stop) const {
  const double guidance = options_->guidance_scales.front();
  const Cell cell =
      PlainCell(model.schedule(), SolverKind::kDpmSolverPp2m, Spacing::kLogSnr, kSteps);
  const Reference start =
      UnsolvedReference(model.transformer().config(), {.images = options_->neighbours_of,
                                                       .first_seed = options_->FirstJudgedSeed(),
                                                       .guidance_scales = {guidance}});
  Measurement cost;
  ILF_ASSIGN_OR_RETURN(const at::Tensor latents, evaluator.Sample(cell, start, cost));
  const at::Tensor samples = evaluator.Decode(latents);
  ILF_ASSIGN_OR_RETURN(const at::Tensor tests, TestPictures());
  ILF_ASSIGN_OR_RETURN(
      const PictureNeighbours found,
      NearestInFolder(at::cat({samples, tests}), training_, {.classifier = classifier}, stop));

  std::vector<PictureRow> rows = {{"samples", samples}};
  const auto add = [&](const char* label, const Neighbours& neighbours) -> absl::Status {
    ILF_ASSIGN_OR_RETURN(const at::Tensor pictures,
                         training_.Images(FirstIndices(neighbours, samples.size(0))));
    rows.push_back({label, pictures});
    return absl::OkStatus();
  };
  ILF_RETURN_IF_ERROR(add("nearest by pixels", found.by_pixels));
  if (found.by_features) ILF_RETURN_IF_ERROR(add("nearest by features", *found.by_features));
  ILF_RETURN_IF_ERROR(WritePictureRows(rows, options_->neighbours));
  Print(cell, guidance, start, found, training_.Labels());
  return absl::OkStatus();
}

}  // namespace ilf
