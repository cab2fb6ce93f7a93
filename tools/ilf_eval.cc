// ilf-eval: measures ways of sampling from a model beside each other.
#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <ATen/Parallel.h>
#include <torch/types.h>
#include <CLI/CLI.hpp>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "engine/base/status_macros.h"
#include "engine/checkpoint/file_hash.h"
#include "engine/checkpoint/json_config.h"
#include "engine/evaluation/cell.h"
#include "engine/evaluation/evaluator.h"
#include "engine/pipeline/load_models.h"
#include "engine/training/image_folder.h"

namespace ilf {
namespace {

// Neither those of requests, nor of training, nor of plan searches.
constexpr uint64_t kFirstRmseSeed = uint64_t{1} << 42;
constexpr uint64_t kFirstFidSeed = uint64_t{1} << 43;

std::atomic<bool> stop_requested{false};

void RequestStop(int) {
  if (stop_requested.exchange(true)) std::signal(SIGINT, SIG_DFL);
}

struct Options {
  std::string model;
  std::string out;
  std::vector<std::string> plans;  // NAME=FILE
  std::vector<double> guidance_scales = {1.0, 2.5};
  std::vector<std::string> only;
  int images = 256;
  int reference_steps = 200;
  uint64_t seed = 0;
  bool plain = true;
  bool cached = true;
  std::string classifier;
  std::string real;
  int fid_images = 10000;
  int batch = 64;
  std::string device = "cpu";
  std::string dtype = "auto";
  int threads = 0;
};

CLI::App* AddFlags(CLI::App& app, Options& options) {
  app.add_option("--model", options.model, "Model directory")->required();
  app.add_option(
         "--out", options.out,
         "JSON lines to write, one a cell; cells that are there already are not measured again")
      ->required();
  app.add_option("--plans", options.plans,
                 "More plans, NAME=FILE each, in the format of feedback/config.json; those without "
                 "feedback steps "
                 "are fitted plain plans");
  app.add_option("--guidance", options.guidance_scales, "Guidance scales")
      ->delimiter(',')
      ->capture_default_str();
  app.add_option("--only", options.only, "Measure only cells whose name contains one of these");
  app.add_option("--images", options.images, "Pictures compared with the reference")
      ->check(CLI::Range(1, 1000000))
      ->capture_default_str();
  app.add_option("--reference_steps", options.reference_steps, "Plain steps of the reference")
      ->check(CLI::Range(2, 1000))
      ->capture_default_str();
  app.add_option("--seed", options.seed, "Which noises: 0, 1, 2, ... share none")
      ->capture_default_str();
  app.add_flag("--plain,!--no_plain", options.plain, "Plain plans of every solver and spacing");
  app.add_flag("--cached,!--no_cached", options.cached, "Block caching");
  app.add_option("--classifier", options.classifier,
                 "Folder of `ilf-train classifier`: measure the Frechet distance on its features "
                 "and the share of "
                 "pictures that it gives their class");
  app.add_option("--real", options.real,
                 "Image folder that the distance is measured to, with --classifier");
  app.add_option("--fid_images", options.fid_images, "Pictures for the distance")
      ->check(CLI::Range(2, 10000000))
      ->capture_default_str();
  app.add_option("--batch", options.batch, "Images a forward")
      ->check(CLI::Range(1, 4096))
      ->capture_default_str();
  app.add_option("--device", options.device, "cpu or cuda:N")->capture_default_str();
  app.add_option("--dtype", options.dtype, "auto, float32 or bfloat16")->capture_default_str();
  app.add_option("--threads", options.threads, "CPU math threads (0: all cores)")
      ->capture_default_str();
  return &app;
}

// "cell|guidance" of every line of an earlier run.
std::set<std::string> Measured(const std::string& file) {
  std::set<std::string> names;
  std::ifstream lines(file);
  for (std::string line; std::getline(lines, line);) {
    const absl::StatusOr<JsonConfig> json = JsonConfig::FromText(line, file);
    if (!json.ok()) continue;  // a line that a killed run left unfinished
    names.insert(absl::StrCat(json->GetString("cell").value_or(""), "|",
                              json->GetDouble("guidance").value_or(0), "|",
                              json->GetInt("seed").value_or(0)));
  }
  return names;
}

absl::StatusOr<FeatureStatistics> RealStatistics(const ImageClassifier& classifier,
                                                 const std::string& folder, int batch) {
  ILF_ASSIGN_OR_RETURN(const ImageFolder images,
                       ImageFolder::Open(folder, static_cast<int>(classifier.config().image_size)));
  at::NoGradGuard no_grad;
  std::vector<at::Tensor> features;
  for (int64_t begin = 0; begin < images.size(); begin += batch) {
    std::vector<int64_t> indices;
    for (int64_t i = begin; i < std::min<int64_t>(begin + batch, images.size()); ++i)
      indices.push_back(i);
    ILF_ASSIGN_OR_RETURN(const at::Tensor pictures, images.Images(indices));
    features.push_back(classifier.Features(pictures));
  }
  return StatisticsOf(at::cat(features));
}

// Which cells, and how each is measured.
class Evaluation {
 public:
  Evaluation(const Options& options, const DitModel& model, std::vector<Cell> cells,
             const FeedbackModule* silent)
      : options_(options),
        cells_(std::move(cells)),
        model_(model),
        evaluator_(model, silent, options.batch) {}

  absl::Status Run(const std::string& key) {
    if (!options_.classifier.empty()) {
      ILF_ASSIGN_OR_RETURN(classifier_, ImageClassifier::LoadDirectory(options_.classifier));
      ILF_ASSIGN_OR_RETURN(real_, RealStatistics(*classifier_, options_.real, options_.batch));
    }
    const std::set<std::string> measured = Measured(options_.out);
    for (const double guidance : options_.guidance_scales) {
      ILF_RETURN_IF_ERROR(RunGuidance(guidance, key, measured));
    }
    return absl::OkStatus();
  }

 private:
  absl::Status RunGuidance(double guidance, const std::string& key,
                           const std::set<std::string>& measured) {
    ReferenceOptions reference_options = {.images = options_.images,
                                          .first_seed = kFirstRmseSeed + options_.seed * 1000000,
                                          .guidance_scales = {guidance},
                                          .min_steps = options_.reference_steps,
                                          .batch = options_.batch,
                                          .device = model_.execution().device};
    const double last = model_.schedule().num_train_timesteps() - 1;
    ILF_ASSIGN_OR_RETURN(
        const Reference reference,
        SolveReference({&model_.transformer()}, model_.schedule(), {last}, reference_options,
                       absl::StrFormat("%s.reference_%g_%d.safetensors", options_.out, guidance,
                                       options_.seed),
                       key, stop_requested));
    const at::Tensor pictures = evaluator_.Decode(reference.final_latents());
    reference_options.images = options_.fid_images;
    reference_options.first_seed = kFirstFidSeed + options_.seed * 1000000;
    const Reference many = classifier_
                               ? UnsolvedReference(model_.transformer().config(), reference_options)
                               : Reference();
    for (const Cell& cell : cells_) {
      if (stop_requested)
        return absl::CancelledError("stopped; the same command goes on from there");
      if (!Covers(cell, guidance)) continue;
      if (measured.contains(absl::StrCat(cell.name, "|", guidance, "|", options_.seed))) continue;
      ILF_RETURN_IF_ERROR(Measure(cell, guidance, reference, pictures, many));
    }
    return absl::OkStatus();
  }

  bool Covers(const Cell& cell, double guidance) const {
    return guidance >= cell.min_guidance_scale && guidance <= cell.max_guidance_scale;
  }

  absl::Status Measure(const Cell& cell, double guidance, const Reference& reference,
                       const at::Tensor& pictures, const Reference& many) {
    ILF_ASSIGN_OR_RETURN(const Measurement m, evaluator_.Compare(cell, reference, pictures));
    std::string line = absl::StrFormat(
        "{\"cell\": \"%s\", \"guidance\": %g, \"seed\": %d, \"steps\": %d, \"block_evaluations\": "
        "%g, "
        "\"seconds\": %.6f, \"rmse\": %.6f, \"latent_rmse\": %.6f",
        cell.name, guidance, options_.seed, cell.plan.steps, m.block_evaluations, m.seconds, m.rmse,
        m.latent_rmse);
    if (classifier_) {
      ILF_ASSIGN_OR_RETURN(const PictureQuality quality,
                           evaluator_.Judge(cell, many, *classifier_, real_));
      absl::StrAppendFormat(&line, ", \"fid\": %.4f, \"accuracy\": %.4f", quality.fid,
                            quality.accuracy);
    }
    line += "}\n";
    std::fputs(line.c_str(), stdout);
    std::fflush(stdout);
    std::ofstream out(options_.out, std::ios::app);
    out << line;
    out.close();
    return out ? absl::OkStatus() : absl::UnavailableError(options_.out + ": cannot be written");
  }

  const Options& options_;
  const std::vector<Cell> cells_;
  const DitModel& model_;
  const Evaluator evaluator_;
  std::optional<ImageClassifier> classifier_;
  FeatureStatistics real_;
};

absl::StatusOr<std::vector<Cell>> MakeCells(const Options& options, const DitModel& model) {
  GridOptions grid;
  grid.layers = model.transformer().config().num_layers;
  std::vector<Cell> cells;
  const auto add = [&](std::vector<Cell> more) {
    for (Cell& cell : more) {
      const bool wanted =
          options.only.empty() ||
          std::any_of(options.only.begin(), options.only.end(),
                      [&](const std::string& part) { return absl::StrContains(cell.name, part); });
      if (wanted) cells.push_back(std::move(cell));
    }
  };
  if (options.plain) add(PlainCells(model.schedule(), grid));
  for (const std::string& named : options.plans) {
    const size_t equals = named.find('=');
    if (equals == std::string::npos) {
      return absl::InvalidArgumentError(
          absl::StrCat("--plans must be NAME=FILE, is '", named, "'"));
    }
    ILF_ASSIGN_OR_RETURN(const JsonConfig json, JsonConfig::Load(named.substr(equals + 1)));
    ILF_ASSIGN_OR_RETURN(const std::vector<CalibratedPlan> plans,
                         ReadFeedbackPlans(json, model.schedule()));
    add(PlanCells(model.schedule(), plans, named.substr(0, equals)));
  }
  add(PlanCells(model.schedule(), model.feedback_plans(), "feedback"));
  if (options.cached) add(CachedCells(model.schedule(), grid));
  return cells;
}

absl::Status Evaluate(const Options& options) {
  if (options.threads > 0) at::set_num_threads(options.threads);
  if (!options.classifier.empty() && options.real.empty()) {
    return absl::InvalidArgumentError("--classifier needs --real");
  }
  ILF_ASSIGN_OR_RETURN(const c10::Device device, ParseDevice(options.device));
  ILF_ASSIGN_OR_RETURN(const Execution execution, ChooseExecution(device, options.dtype, true));
  ILF_ASSIGN_OR_RETURN(const std::shared_ptr<const DitModel> model,
                       DitModel::Load(options.model, "model", execution));
  ILF_ASSIGN_OR_RETURN(std::optional<FeedbackModule> silent,
                       LoadSilentFeedback(options.model, execution));
  ILF_ASSIGN_OR_RETURN(std::vector<Cell> cells, MakeCells(options, *model));
  ILF_ASSIGN_OR_RETURN(
      const std::string key,
      FileSha256(options.model + "/transformer/diffusion_pytorch_model.safetensors"));
  std::error_code error;
  std::filesystem::create_directories(std::filesystem::path(options.out).parent_path(), error);
  std::fprintf(stderr, "ilf-eval: %zu cells, %zu guidance scales\n", cells.size(),
               options.guidance_scales.size());
  return Evaluation(options, *model, std::move(cells), silent ? &*silent : nullptr).Run(key);
}

int Run(int argc, char** argv) {
  CLI::App app(
      "Measures ways of sampling from a model beside each other: block evaluations, seconds, error "
      "to a fine "
      "reference from the same noise, and the Frechet distance of many pictures to real ones.",
      "ilf-eval");
  Options options;
  AddFlags(app, options);
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
