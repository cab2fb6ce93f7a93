#include "tools/eval_options.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace ilf {
namespace {

// Further ones would run into the noises of another purpose (engine/training/noise_seeds.h).
constexpr uint64_t kMostSeed = 500;

void AddMeasuringFlags(CLI::App& app, EvalOptions& options) {
  app.add_option("--model", options.model, "Model directory")->required();
  app.add_option(
         "--out", options.out,
         "JSON lines to write, one a cell; cells that are there already are not measured again")
      ->required();
  app.add_option("--prompts", options.prompts,
                 "Text file, one prompt a line, for a model that reads text")
      ->check(CLI::ExistingFile);
  app.add_option("--plans", options.plans,
                 "More plans, NAME=FILE each, in the format of feedback/config.json; those without "
                 "feedback steps are fitted plain plans");
  app.add_option("--guidance", options.guidance_scales, "Guidance scales")
      ->delimiter(',')
      ->capture_default_str();
  app.add_option("--steps", options.steps,
                 "Steps of plain plans and of block caching (default: 3 to 20, fewer of caching)")
      ->delimiter(',')
      ->check(CLI::Range(1, 1000));
  app.add_option("--only", options.only, "Measure only cells whose name contains one of these");
  app.add_option("--except", options.except, "Leave out cells whose name contains one of these");
  app.add_option("--images", options.images, "Pictures compared with the reference")
      ->check(CLI::Range(1, 1000000))
      ->capture_default_str();
  app.add_option("--reference_steps", options.reference_steps, "Plain steps of the reference")
      ->check(CLI::Range(2, 1000))
      ->capture_default_str();
  app.add_option("--seed", options.seed, "Which noises: 0, 1, 2, ... share none")
      ->check(CLI::Range(uint64_t{0}, kMostSeed))
      ->capture_default_str();
  app.add_flag("--plain,!--no_plain", options.plain, "Plain plans of every solver and spacing");
  app.add_flag("--cached,!--no_cached", options.cached,
               "Block caching, on the solver's own steps and on those of --plans without feedback");
  app.add_option("--classifier", options.classifier,
                 "Folder of `ilf-train classifier`: measure the Frechet distance on its features "
                 "and the share of pictures that it gives their class");
  app.add_option("--real", options.real,
                 "Image folder of real pictures that were not trained on: what the Frechet "
                 "distance is measured to, and the yardstick of --neighbours");
  app.add_option("--fid_images", options.fid_images, "Pictures for the distance, and of --pictures")
      ->check(CLI::Range(2, 1000000))
      ->capture_default_str();
}

void AddPicturesFlag(CLI::App& app, EvalOptions& options) {
  app.add_option("--pictures", options.pictures,
                 "Folder to write the first --fid_images pictures of each cell to, a PNG each in a "
                 "folder of the cell's name: for scripts/quality.py, and other metrics");
}

void AddSheetFlags(CLI::App& app, EvalOptions& options) {
  CLI::Option* sheet = app.add_option(
      "--sheet", options.sheet,
      "PNG to write: the reference's pictures and below them every chosen cell's from the same "
      "noises, a row each, for one guidance scale after the other. stdout names the rows too");
  app.add_option("--sheet_images", options.sheet_images,
                 "Pictures a row, the first of those compared with the reference")
      ->check(CLI::Range(1, 200))
      ->needs(sheet)
      ->capture_default_str();
}

void AddNeighbourFlags(CLI::App& app, EvalOptions& options) {
  CLI::Option* neighbours = app.add_option(
      "--neighbours", options.neighbours,
      "PNG to write: pictures of 50 plain steps under the first guidance scale, and below them "
      "their nearest training pictures by pixels and, with --classifier, by features. Distances "
      "go to stdout, beside those of up to 200 pictures of --real");
  CLI::Option* training = app.add_option(
      "--training", options.training,
      "Image folder that the model was trained on, for --neighbours; with --classifier "
      "the Frechet distance of its own first --fid_images pictures goes to stdout");
  neighbours->needs(training);
  app.add_option("--neighbours_of", options.neighbours_of, "Pictures that neighbours are found of")
      ->check(CLI::Range(1, 200))
      ->needs(neighbours)
      ->capture_default_str();
}

absl::Status CheckPng(absl::string_view flag, const std::string& file) {
  if (file.empty() || absl::EndsWithIgnoreCase(file, ".png")) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(flag, " writes a PNG: its name must end in .png, is '", file, "'"));
}

}  // namespace

void AddEvalFlags(CLI::App& app, EvalOptions& options) {
  AddMeasuringFlags(app, options);
  AddPicturesFlag(app, options);
  AddSheetFlags(app, options);
  AddNeighbourFlags(app, options);
  app.add_option("--batch", options.batch, "Images a forward")
      ->check(CLI::Range(1, 4096))
      ->capture_default_str();
  app.add_option("--device", options.device, "cpu or cuda:N")->capture_default_str();
  app.add_option("--dtype", options.dtype, "auto, float32 or bfloat16")->capture_default_str();
  app.add_option("--threads", options.threads, "CPU math threads (0: all cores)")
      ->check(CLI::Range(0, 4096))
      ->capture_default_str();
}

absl::Status CheckEvalOptions(const EvalOptions& options) {
  if (!options.classifier.empty() && options.real.empty()) {
    return absl::InvalidArgumentError("--classifier needs --real");
  }
  if (!options.training.empty() && options.classifier.empty() && options.neighbours.empty()) {
    return absl::InvalidArgumentError("--training needs --classifier or --neighbours");
  }
  for (const auto& [flag, file] :
       {std::pair{"--sheet", &options.sheet}, {"--neighbours", &options.neighbours}}) {
    if (const absl::Status status = CheckPng(flag, *file); !status.ok()) return status;
  }
  if (!options.sheet.empty() && options.sheet_images > options.images) {
    return absl::InvalidArgumentError(absl::StrCat("--sheet_images (", options.sheet_images,
                                                   ") must not exceed --images (", options.images,
                                                   ")"));
  }
  return absl::OkStatus();
}

}  // namespace ilf
