// `ilf-train plan`: finds step plans of few steps.
#pragma once

#include <atomic>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "absl/status/status.h"

namespace ilf {

struct PlanCommand {
  std::string model;
  std::string out;
  std::string prompts;  // text file, of a model that reads text
  std::vector<int> steps = {5};
  std::vector<double> guidance_scales = {1.0};  // least, most
  std::vector<int> feedback_steps;              // empty: all
  int first_inner_block = -1;                   // -1: so that the inner blocks are the last ones
  int inner_blocks = 3;
  // The search runs the model's own feedback module in the feedback steps, not plain steps; the
  // inner blocks are the module's.
  bool with_feedback = false;
  int images = 128;
  int levels = 64;
  std::string device = "cpu";
  std::string dtype = "auto";
  int threads = 0;
};

void AddPlanFlags(CLI::App& app, PlanCommand& command);

// Searches, and writes `out` after each plan that was found. One line a plan on stdout.
absl::Status RunPlanCommand(const PlanCommand& command, const std::atomic<bool>& stop);

}  // namespace ilf
