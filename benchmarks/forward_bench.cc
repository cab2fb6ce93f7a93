// Times the DiT transformer's forward pass, on orders from benchmarks/forward.py.
//
// After "ready" on stdout each line "ROWS REPETITIONS" on stdin is answered by one line of
// REPETITIONS times in seconds; "ROWS REPETITIONS feedback" times passes with feedback on all rows,
// for a model with a feedback module. So the script can take turns between this program and another
// one.
#include <filesystem>
#include <iostream>
#include <numeric>
#include <optional>
#include <sstream>
#include <string>
#include <utility>

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Parallel.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <c10/core/InferenceMode.h>
#include <CLI/CLI.hpp>

#include "absl/status/statusor.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "engine/base/status_macros.h"
#include "engine/checkpoint/json_config.h"
#include "engine/checkpoint/model_directory.h"
#include "engine/checkpoint/state_dict.h"
#include "engine/model/feedback_module.h"
#include "engine/model/feedback_pass.h"
#include "engine/model/transformer.h"
#include "engine/model/transformer_config.h"

namespace ilf {
namespace {

constexpr int kMaxRows = 4096;

struct Options {
  std::string model;
  std::string dtype = "float32";
  bool batch_invariant = true;
  int threads = 1;
};

struct Model {
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
  return Model{std::move(transformer), std::move(module)};
}

struct Order {
  int rows = 0;
  int repetitions = 0;
  bool feedback = false;
};

// Nothing where the line is no order.
std::optional<Order> ParseOrder(const std::string& line) {
  std::istringstream words(line);
  Order order;
  words >> order.rows >> order.repetitions;
  if (words.fail() || order.rows < 1 || order.rows > kMaxRows || order.repetitions < 1) {
    return std::nullopt;
  }
  if (std::string word; words >> word) {
    if (word != "feedback") return std::nullopt;
    order.feedback = true;
  }
  return order;
}

void TimePasses(const Model& model, const Order& order) {
  const TransformerConfig& config = model.transformer.config();
  const at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(/*seed=*/0);
  const at::Tensor latents =
      at::randn({order.rows, config.in_channels, config.sample_size, config.sample_size}, generator,
                at::kFloat);
  const at::Tensor timesteps = at::rand({order.rows}, generator, at::kFloat).mul(999).floor();
  const at::Tensor classes =
      at::randint(config.num_classes + 1, {order.rows}, generator, at::kLong);
  std::vector<int64_t> all(order.rows);
  std::iota(all.begin(), all.end(), 0);
  const FeedbackRows feedback = {all, timesteps.mul(0.5)};
  for (int i = 0; i < order.repetitions; ++i) {
    const absl::Time start = absl::Now();
    if (order.feedback) {
      PassWithFeedback(model.transformer, *model.feedback, latents, timesteps, classes, feedback);
    } else {
      model.transformer(latents, timesteps, classes);
    }
    std::cout << absl::ToDoubleSeconds(absl::Now() - start)
              << (i + 1 < order.repetitions ? ' ' : '\n');
  }
  std::cout.flush();
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
      std::cerr << "expected ROWS REPETITIONS [feedback], got '" << line << "'\n";
      return 1;
    }
    if (order->feedback && !model->feedback) {
      std::cerr << options.model << " has no feedback module\n";
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
  app.add_option("--dtype", options.dtype)->check(CLI::IsMember({"float32", "bfloat16"}));
  app.add_option("--batch_invariant", options.batch_invariant, "false: no row tiles");
  app.add_option("--threads", options.threads)->check(CLI::PositiveNumber);
  CLI11_PARSE(app, argc, argv);
  return ilf::Serve(options);
}
