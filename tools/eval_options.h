// The flags of ilf-eval.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "absl/status/status.h"
#include "engine/training/noise_seeds.h"

namespace ilf {

struct EvalOptions {
  std::string model;
  std::string out;
  std::string prompts;             // text file, of a model that reads text
  std::vector<std::string> plans;  // NAME=FILE
  std::vector<double> guidance_scales = {1.0, 2.5};
  std::vector<int> steps;  // of plain plans and of caching; empty: those of GridOptions
  std::vector<std::string> only;
  std::vector<std::string> except;
  int images = 256;
  int reference_steps = 200;
  uint64_t seed = 0;
  bool plain = true;
  bool cached = true;
  std::string classifier;
  std::string real;
  int fid_images = 10000;
  std::string pictures;  // folder; empty: none
  std::string sheet;     // empty: none
  int sheet_images = 10;
  std::string neighbours;  // a sheet too; empty: none
  std::string training;
  int neighbours_of = 20;
  int batch = 64;
  std::string device = "cpu";
  std::string dtype = "auto";
  int threads = 0;

  // Noises between two values of `seed`; greater ones of --images and --fid_images would share
  // some.
  static constexpr uint64_t kSeedStride = 1000000;
  // Of the noises that cells are compared on with the reference, and of those they are judged on.
  uint64_t FirstReferenceSeed() const { return kFirstReferenceSeed + seed * kSeedStride; }
  uint64_t FirstJudgedSeed() const { return kFirstJudgedSeed + seed * kSeedStride; }
};

void AddEvalFlags(CLI::App& app, EvalOptions& options);

// What the flags cannot check one by one. INVALID_ARGUMENT names the flag.
absl::Status CheckEvalOptions(const EvalOptions& options);

}  // namespace ilf
