// Times the DiT transformer's forward pass, on orders from benchmarks/forward.py.
//
// After "ready" on stdout each line "ROWS REPETITIONS" on stdin is answered by one line of
// REPETITIONS times in seconds. So the script can take turns between this program and another one.
#include <iostream>
#include <sstream>
#include <string>

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
#include "engine/checkpoint/model_directory.h"
#include "engine/checkpoint/state_dict.h"
#include "engine/model/dit_config.h"
#include "engine/model/dit_transformer.h"

namespace ilf {
namespace {

constexpr int kMaxRows = 4096;

struct Options {
  std::string model;
  std::string dtype = "float32";
  bool batch_invariant = true;
  int threads = 1;
};

absl::StatusOr<DitTransformer> LoadTransformer(const Options& options) {
  Execution execution;
  execution.dtype = options.dtype == "bfloat16" ? at::kBFloat16 : at::kFloat;
  execution.batch_invariant = options.batch_invariant;
  ILF_ASSIGN_OR_RETURN(const ModelDirectory directory, ReadModelDirectory(options.model));
  ILF_ASSIGN_OR_RETURN(const DitConfig config, DitConfig::FromJson(directory.transformer));
  ILF_ASSIGN_OR_RETURN(StateDict weights, StateDict::Load(directory.TransformerWeights()));
  return DitTransformer::Load(config, weights, execution);
}

void TimeForwards(const DitTransformer& model, int rows, int repetitions) {
  const DitConfig& config = model.config();
  const at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(/*seed=*/0);
  const at::Tensor latents = at::randn(
      {rows, config.in_channels, config.sample_size, config.sample_size}, generator, at::kFloat);
  const at::Tensor timesteps = at::rand({rows}, generator, at::kFloat).mul(999).floor();
  const at::Tensor classes = at::randint(config.num_classes + 1, {rows}, generator, at::kLong);
  for (int i = 0; i < repetitions; ++i) {
    const absl::Time start = absl::Now();
    model(latents, timesteps, classes);
    std::cout << absl::ToDoubleSeconds(absl::Now() - start) << (i + 1 < repetitions ? ' ' : '\n');
  }
  std::cout.flush();
}

int Serve(const Options& options) {
  at::set_num_threads(options.threads);
  const c10::InferenceMode inference;
  const absl::StatusOr<DitTransformer> model = LoadTransformer(options);
  if (!model.ok()) {
    std::cerr << model.status().message() << "\n";
    return 1;
  }
  std::cout << "ready" << std::endl;
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream order(line);
    int rows = 0;
    int repetitions = 0;
    order >> rows >> repetitions;
    if (order.fail() || rows < 1 || rows > kMaxRows || repetitions < 1) {
      std::cerr << "expected ROWS REPETITIONS, got '" << line << "'\n";
      return 1;
    }
    TimeForwards(*model, rows, repetitions);
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
