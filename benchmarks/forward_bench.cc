// Times the transformer's forward pass, on orders from benchmarks/forward.py and packing.py.
//
// After "ready" on stdout each line "ROWS REPETITIONS [KIND]" on stdin is answered by one line of
// REPETITIONS times in seconds. KIND is "plain" (the default), "feedback" (on all rows, of a DiT
// with a feedback module), "packed" (rows of four sizes in one pass, of a PixArt) or "apart" (the
// same rows in a pass for each size). So the script can take turns between this program and another
// one.
#include <filesystem>
#include <iostream>
#include <map>
#include <memory>
#include <numeric>
#include <optional>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Parallel.h>
#include <ATen/ops/full.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <c10/core/InferenceMode.h>
#include <CLI/CLI.hpp>

#include "absl/status/statusor.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "engine/base/status_macros.h"
#include "engine/checkpoint/json_config.h"
#include "engine/checkpoint/model_directory.h"
#include "engine/checkpoint/state_dict.h"
#include "engine/model/feedback_module.h"
#include "engine/model/feedback_pass.h"
#include "engine/model/transformer.h"
#include "engine/model/transformer_config.h"
#include "engine/pipeline/load_models.h"

namespace ilf {
namespace {

constexpr int kMaxRows = 4096;
constexpr int64_t kPromptTokens = 12;

struct Options {
  std::string model;
  std::string device = "cpu";
  std::string dtype = "float32";
  bool batch_invariant = true;
  int threads = 1;
};

struct Model {
  c10::Device device;
  Transformer transformer;
  std::optional<FeedbackModule> feedback;
};

absl::StatusOr<std::optional<FeedbackModule>> LoadModule(const ModelDirectory& directory,
                                                         const TransformerConfig& backbone,
                                                         const Execution& execution) {
  if (!std::filesystem::exists(directory.FeedbackConfigFile())) return std::nullopt;
  ILF_ASSIGN_OR_RETURN(const JsonConfig json, JsonConfig::Load(directory.FeedbackConfigFile()));
  ILF_ASSIGN_OR_RETURN(const FeedbackConfig config, FeedbackConfig::FromJson(json, backbone));
  ILF_ASSIGN_OR_RETURN(StateDict weights, StateDict::Load(directory.FeedbackWeights()));
  ILF_ASSIGN_OR_RETURN(FeedbackModule module,
                       FeedbackModule::Load(config, backbone, weights, execution));
  return module;
}

absl::StatusOr<Model> LoadModel(const Options& options) {
  Execution execution;
  ILF_ASSIGN_OR_RETURN(execution.device, ParseDevice(options.device));
  execution.dtype = options.dtype == "bfloat16" ? at::kBFloat16 : at::kFloat;
  execution.batch_invariant = options.batch_invariant;
  ILF_ASSIGN_OR_RETURN(const ModelDirectory directory, ReadModelDirectory(options.model));
  ILF_ASSIGN_OR_RETURN(const TransformerConfig config,
                       TransformerConfig::FromJson(directory.transformer));
  ILF_ASSIGN_OR_RETURN(StateDict weights, StateDict::LoadFolder(directory.path + "/transformer",
                                                                "diffusion_pytorch_model"));
  ILF_ASSIGN_OR_RETURN(Transformer transformer, Transformer::Load(config, weights, execution));
  ILF_ASSIGN_OR_RETURN(std::optional<FeedbackModule> module,
                       LoadModule(directory, config, execution));
  return Model{execution.device, std::move(transformer), std::move(module)};
}

enum class Kind { kPlain, kFeedback, kPacked, kApart };

struct Order {
  int rows = 0;
  int repetitions = 0;
  Kind kind = Kind::kPlain;
};

// Nothing where the line is no order.
std::optional<Order> ParseOrder(const std::string& line) {
  static const std::map<std::string, Kind> kinds = {{"plain", Kind::kPlain},
                                                    {"feedback", Kind::kFeedback},
                                                    {"packed", Kind::kPacked},
                                                    {"apart", Kind::kApart}};
  std::istringstream words(line);
  Order order;
  words >> order.rows >> order.repetitions;
  if (words.fail() || order.rows < 1 || order.rows > kMaxRows || order.repetitions < 1) {
    return std::nullopt;
  }
  if (std::string word; words >> word) {
    const auto kind = kinds.find(word);
    if (kind == kinds.end()) return std::nullopt;
    order.kind = kind->second;
  }
  return order;
}

// Rows of one or more sizes, about as large as the model's own.
struct Batch {
  std::vector<at::Tensor> latents;
  at::Tensor timesteps;
  RowConditions rows;

  // The rows of one size.
  Batch Part(size_t size) const {
    int64_t begin = 0;
    for (size_t i = 0; i < size; ++i) begin += latents[i].size(0);
    std::vector<int64_t> index(latents[size].size(0));
    std::iota(index.begin(), index.end(), begin);
    return {{latents[size]}, timesteps.narrow(0, begin, index.size()), rows.Select(index)};
  }
};

RowConditions RandomConditions(const Model& model, int64_t rows, const at::Generator& generator) {
  const TransformerConfig& config = model.transformer.config();
  if (!config.reads_text()) {
    return at::randint(config.num_classes + 1, {rows}, generator, at::kLong).to(model.device);
  }
  std::vector<PromptRows::Context> prompts;
  for (int64_t row = 0; row < rows; ++row) {
    const at::Tensor embeddings =
        at::randn({1, kPromptTokens, config.text_channels()}, generator, at::kFloat);
    prompts.push_back(std::make_shared<const PromptContext>(
        model.transformer.ReadPrompt(embeddings.to(model.device))));
  }
  return RowConditions(PromptRows(prompts),
                       at::full({rows, 2}, 8.0 * config.sample_size).to(model.device));
}

Batch RandomBatch(const Model& model, int64_t rows, bool several_sizes) {
  const at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(/*seed=*/0);
  const TransformerConfig& config = model.transformer.config();
  const int64_t side = config.sample_size;
  std::vector<std::pair<int64_t, int64_t>> sizes = {{side, side}};
  if (several_sizes) {
    sizes.insert(
        sizes.end(),
        {{3 * side / 2, 3 * side / 4}, {3 * side / 4, 3 * side / 2}, {2 * side, side / 2}});
  }
  Batch batch;
  for (const auto& [height, width] : sizes) {
    const int64_t rows_of_size = rows / static_cast<int64_t>(sizes.size());
    batch.latents.push_back(
        at::randn({rows_of_size, config.in_channels, height, width}, generator, at::kFloat)
            .to(model.device));
  }
  batch.timesteps = at::rand({rows}, generator, at::kFloat).mul(999).floor().to(model.device);
  batch.rows = RandomConditions(model, rows, generator);
  return batch;
}

void RunPass(const Model& model, Kind kind, const Batch& batch, absl::Span<const Batch> parts) {
  if (kind == Kind::kFeedback) {
    std::vector<int64_t> all(batch.timesteps.size(0));
    std::iota(all.begin(), all.end(), 0);
    PassWithFeedback(model.transformer, *model.feedback, batch.latents, batch.timesteps, batch.rows,
                     {all, batch.timesteps.mul(0.5)});
  } else if (kind == Kind::kApart) {
    for (const Batch& part : parts) model.transformer(part.latents, part.timesteps, part.rows);
  } else {
    model.transformer(batch.latents, batch.timesteps, batch.rows);
  }
}

void TimePasses(const Model& model, const Order& order) {
  const bool several_sizes = order.kind == Kind::kPacked || order.kind == Kind::kApart;
  const Batch batch = RandomBatch(model, order.rows, several_sizes);
  std::vector<Batch> parts;
  for (size_t i = 0; i < batch.latents.size(); ++i) parts.push_back(batch.Part(i));
  for (int i = 0; i < order.repetitions; ++i) {
    WaitFor(model.device);
    const absl::Time start = absl::Now();
    RunPass(model, order.kind, batch, parts);
    WaitFor(model.device);
    std::cout << absl::ToDoubleSeconds(absl::Now() - start)
              << (i + 1 < order.repetitions ? ' ' : '\n');
  }
  std::cout.flush();
}

// Why the model cannot do what is ordered; empty where it can.
std::string Objection(const Model& model, const Order& order) {
  const TransformerConfig& config = model.transformer.config();
  if (order.kind == Kind::kFeedback && !model.feedback) return "the model has no feedback module";
  if (order.kind == Kind::kFeedback && config.reads_text()) return "feedback is timed of DiTs only";
  if (order.kind != Kind::kPacked && order.kind != Kind::kApart) return "";
  if (!config.reads_text()) return "a DiT has one size";
  if (order.rows % 4 != 0 || config.sample_size % 8 != 0) {
    return "four sizes need rows in fours, and a latent side in eights";
  }
  return "";
}

int Serve(const Options& options) {
  at::set_num_threads(options.threads);
  const c10::InferenceMode inference;
  const absl::StatusOr<Model> model = LoadModel(options);
  if (!model.ok()) {
    std::cerr << model.status().message() << "\n";
    return 1;
  }
  std::cout << "ready" << std::endl;
  for (std::string line; std::getline(std::cin, line);) {
    const std::optional<Order> order = ParseOrder(line);
    if (!order) {
      std::cerr << "expected ROWS REPETITIONS [KIND], got '" << line << "'\n";
      return 1;
    }
    if (const std::string objection = Objection(*model, *order); !objection.empty()) {
      std::cerr << options.model << ": " << objection << "\n";
      return 1;
    }
    TimePasses(*model, *order);
  }
  return 0;
}

}  // namespace
}  // namespace ilf

int main(int argc, char** argv) {
  CLI::App app("Times the transformer's forward pass on orders from stdin");
  ilf::Options options;
  app.add_option("--model", options.model, "Model directory")->required();
  app.add_option("--device", options.device, "cpu or cuda:N");
  app.add_option("--dtype", options.dtype)->check(CLI::IsMember({"float32", "bfloat16"}));
  app.add_option("--batch_invariant", options.batch_invariant, "false: no row tiles");
  app.add_option("--threads", options.threads)->check(CLI::PositiveNumber);
  CLI11_PARSE(app, argc, argv);
  return ilf::Serve(options);
}
