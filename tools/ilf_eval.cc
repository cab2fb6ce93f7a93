// ilf-eval: measures ways of sampling from a model beside each other.
#include <atomic>
#include <csignal>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <ATen/Parallel.h>
#include <CLI/CLI.hpp>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "engine/checkpoint/file_hash.h"
#include "engine/checkpoint/model_directory.h"
#include "engine/pipeline/feedback.h"
#include "engine/pipeline/load_models.h"
#include "engine/training/feedback_writer.h"
#include "tools/eval_cells.h"
#include "tools/eval_options.h"
#include "tools/eval_run.h"

namespace ilf {
namespace {

std::atomic<bool> stop_requested{false};

void RequestStop(int) {
  if (stop_requested.exchange(true)) std::signal(SIGINT, SIG_DFL);
}

// `module`: the model's, or null.
absl::StatusOr<EvalWeights> WeightsOf(const std::string& model, const FeedbackModule* module) {
  ILF_ASSIGN_OR_RETURN(const ModelDirectory directory, ReadModelDirectory(model));
  EvalWeights weights;
  ILF_ASSIGN_OR_RETURN(weights.backbone, BackboneSha256(directory));
  ILF_ASSIGN_OR_RETURN(weights.autoencoder, WeightsSha256(directory.VaeWeights()));
  if (module == nullptr) return weights;
  ILF_ASSIGN_OR_RETURN(weights.feedback, FileSha256(directory.FeedbackWeights()));
  weights.feedback += FeedbackConfigText(module->config(), {});
  return weights;
}

absl::Status Evaluate(const EvalOptions& options) {
  ILF_RETURN_IF_ERROR(CheckEvalOptions(options));
  if (options.threads > 0) at::set_num_threads(options.threads);
  ILF_ASSIGN_OR_RETURN(const c10::Device device, ParseDevice(options.device));
  ILF_ASSIGN_OR_RETURN(const Execution execution, ChooseExecution(device, options.dtype, true));
  ILF_ASSIGN_OR_RETURN(const std::shared_ptr<const DiffusionModel> model,
                       DiffusionModel::Load(options.model, "model", {execution}));
  if (model->info().accepts_prompt &&
      !(options.classifier.empty() && options.neighbours.empty() && options.pictures.empty())) {
    return absl::InvalidArgumentError(
        absl::StrCat(options.model,
                     ": reads text: --classifier, --neighbours and --pictures are for models of "
                     "classes"));
  }
  ILF_ASSIGN_OR_RETURN(Subjects subjects, ReadSubjects(options.model, options.prompts, execution));
  ILF_ASSIGN_OR_RETURN(const std::optional<FeedbackModule> silent,
                       LoadSilentFeedback(options.model, execution));
  ILF_ASSIGN_OR_RETURN(const std::vector<Cell> cells, MakeCells(options, *model));
  ILF_ASSIGN_OR_RETURN(const EvalWeights weights,
                       WeightsOf(options.model, model->denoiser().feedback));
  std::error_code error;
  std::filesystem::create_directories(std::filesystem::path(options.out).parent_path(), error);
  std::fprintf(stderr, "ilf-eval: %zu cells, %zu guidance scales\n", cells.size(),
               options.guidance_scales.size());
  return EvalRun(options, *model, std::move(subjects), silent ? &*silent : nullptr, stop_requested)
      .Run(cells, weights);
}

int Run(int argc, char** argv) {
  CLI::App app(
      "Measures ways of sampling from a model beside each other: block evaluations, seconds, error "
      "to a fine reference from the same noise, and the Frechet distance of many pictures to real "
      "ones. Writes sheets of their pictures, and of the training pictures nearest to samples.",
      "ilf-eval");
  EvalOptions options;
  AddEvalFlags(app, options);
  CLI11_PARSE(app, argc, argv);
  std::signal(SIGINT, RequestStop);
  std::signal(SIGTERM, RequestStop);
  const absl::Status status = Evaluate(options);
  if (status.ok()) return 0;
  std::fprintf(stderr, "ilf-eval: %s\n", std::string(status.message()).c_str());
  return absl::IsCancelled(status) ? 130 : 1;
}

}  // namespace
}  // namespace ilf

int main(int argc, char** argv) {
  try {
    return ilf::Run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "ilf-eval: %s\n", error.what());
    return 1;
  }
}
