// What every trainer shares: AdamW, warm-up and cosine schedule, gradient clipping, moving average,
// bfloat16 autocast, progress line, loss log, checkpoints, resuming and stopping.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/training/optimizer.h"
#include "engine/training/parameter_set.h"

namespace ilf {

struct TrainingOptions {
  std::string output;  // folder for checkpoints, loss log and sample sheets; made when missing
  int64_t steps = 10000;
  int64_t batch_size = 128;
  // Threads that each take an equal share of a step's pictures, and of LibTorch's threads: small
  // models keep cores busier so than by sharing every operation. 1 on a GPU.
  int64_t workers = 1;
  double learning_rate = 1e-3;  // at its peak
  int64_t warmup_steps = 200;   // from 0 linearly; then a cosine down to 0 at `steps`
  OptimizerKind optimizer = OptimizerKind::kAdamW;
  double weight_decay = 0.0;  // of AdamW
  double beta2 = 0.99;        // of AdamW
  double max_gradient_norm = 1.0;
  double ema_decay = 0.999;  // smaller in the first steps: min(decay, (1 + step) / (10 + step))
  bool bf16 = true;          // autocast of the forward pass; weights stay float32
  int64_t checkpoint_every = 1000;
  int64_t log_every = 50;
  uint64_t seed = 0;
  bool resume = true;  // go on from the checkpoint in `output` when there is one
  c10::Device device = c10::kCPU;

  int64_t share_size() const { return batch_size / workers; }  // pictures
};

// What one trainer adds to the loop.
struct TrainingTask {
  std::string name;
  // What a checkpoint must be of to go on from it, a line without spaces; empty: any of as many
  // weights.
  std::string run = {};
  // Loss of share `share` of the run's pictures, a scalar connected to the weights: step i is the
  // shares i * workers to (i + 1) * workers - 1, and its loss is their mean. Runs under autocast
  // when asked for, with several workers at the same time as other shares; all its random numbers
  // come from `generator`, which is seeded by share.
  std::function<absl::StatusOr<at::Tensor>(int64_t share, at::Generator generator)> loss;
  // Called after each step, while no share runs. May be left empty.
  std::function<void()> stepped;
  // What a checkpoint holds beside the weights, float32 on the CPU: the task changes it in place,
  // as does a run that goes on.
  NamedTensors buffers = {};
  // After `step` steps: writes the model and a sample sheet from the averaged weights.
  std::function<absl::Status(int64_t step, const NamedTensors& averaged)> write;
  // Asked after each checkpoint: true ends the run early, as done. May be left empty.
  std::function<bool()> converged;
};

// Runs until `options.steps` or until `*stop` is set (Ctrl-C); both end with a checkpoint. A
// checkpoint is `output`/training_state.safetensors, replaced atomically. Progress goes to stderr,
// losses to `output`/losses.jsonl. CANCELLED when it was stopped; INTERNAL when the loss is not
// finite; INVALID_ARGUMENT when the workers cannot have equal shares, or the checkpoint is of
// another run.
absl::Status RunTraining(const TrainingTask& task, const TrainingOptions& options,
                         ParameterSet& parameters, const std::atomic<bool>& stop);

// Learning rate of step `step` (from 0).
double LearningRate(const TrainingOptions& options, int64_t step);

}  // namespace ilf
