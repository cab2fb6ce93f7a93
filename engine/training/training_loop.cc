#include "engine/training/training_loop.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <future>
#include <memory>
#include <numbers>
#include <utility>
#include <vector>

#include <ATen/Parallel.h>
#include <ATen/autocast_mode.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "engine/base/status_macros.h"
#include "engine/training/optimizer.h"
#include "engine/training/progress.h"
#include "engine/training/training_state.h"

namespace ilf {
namespace {

// Autocast to bfloat16 for the life of the object.
class AutocastScope {
 public:
  AutocastScope(bool enabled, c10::DeviceType device) : enabled_(enabled), device_(device) {
    if (!enabled_) return;
    at::autocast::set_autocast_enabled(device_, true);
    at::autocast::set_autocast_dtype(device_, at::kBFloat16);
    at::autocast::set_autocast_cache_enabled(true);
    at::autocast::increment_nesting();
  }
  ~AutocastScope() {
    if (!enabled_) return;
    if (at::autocast::decrement_nesting() == 0) at::autocast::clear_cache();
    at::autocast::set_autocast_enabled(device_, false);
  }
  AutocastScope(const AutocastScope&) = delete;
  AutocastScope& operator=(const AutocastScope&) = delete;

 private:
  const bool enabled_;
  const c10::DeviceType device_;
};

at::Generator GeneratorOf(uint64_t seed, int64_t share) {
  return at::make_generator<at::CPUGeneratorImpl>(seed * 1000003 + static_cast<uint64_t>(share));
}

void ClipGradients(at::Tensor& gradients, double limit) {
  const double norm = gradients.norm().item<double>();
  if (norm > limit) gradients.mul_(limit / norm);
}

absl::Status CheckShares(const TrainingOptions& options) {
  if (options.workers < 1 || options.batch_size % options.workers != 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "batch_size ", options.batch_size, " is not a multiple of workers ", options.workers));
  }
  if (options.workers > 1 && !options.device.is_cpu()) {
    return absl::InvalidArgumentError("workers must be 1 on a GPU");
  }
  return absl::OkStatus();
}

// The loss of a share; adds its part of the step's gradients.
absl::StatusOr<double> LearnShare(const TrainingTask& task, const TrainingOptions& options,
                                  int64_t share) {
  at::Tensor loss;
  {
    AutocastScope autocast(options.bf16, options.device.type());
    ILF_ASSIGN_OR_RETURN(loss, task.loss(share, GeneratorOf(options.seed, share)));
  }
  loss.div(options.workers).backward();
  return loss.item<double>();
}

// The shares of a step at the same time, each by a thread of its own; their mean loss. Gradients
// add up under autograd's own lock.
absl::StatusOr<double> LearnShares(const TrainingTask& task, const TrainingOptions& options,
                                   int64_t step) {
  if (options.workers == 1) return LearnShare(task, options, step);
  const int threads = std::max<int>(1, at::get_num_threads() / static_cast<int>(options.workers));
  std::vector<std::future<absl::StatusOr<double>>> losses;
  for (int64_t worker = 0; worker < options.workers; ++worker) {
    losses.push_back(std::async(std::launch::async, [&, worker] {
      at::set_num_threads(threads);
      return LearnShare(task, options, step * options.workers + worker);
    }));
  }
  for (const auto& loss : losses) loss.wait();
  double sum = 0.0;
  for (auto& loss : losses) {
    ILF_ASSIGN_OR_RETURN(const double share, loss.get());
    sum += share;
  }
  return sum / static_cast<double>(options.workers);
}

absl::StatusOr<double> TakeStep(const TrainingTask& task, const TrainingOptions& options,
                                int64_t step, ParameterSet& parameters, Optimizer& optimizer) {
  parameters.ZeroGradients();
  ILF_ASSIGN_OR_RETURN(const double value, LearnShares(task, options, step));
  if (!std::isfinite(value)) {
    return absl::InternalError(absl::StrCat("loss is not finite at step ", step));
  }
  at::NoGradGuard no_grad;
  ClipGradients(parameters.flat_gradients(), options.max_gradient_norm);
  optimizer.Step(LearningRate(options, step));
  parameters.UpdateAverage(std::min(options.ema_decay, (1.0 + step) / (10.0 + step)));
  if (task.stepped) task.stepped();
  return value;
}

absl::Status Checkpoint(const TrainingTask& task, const TrainingOptions& options, int64_t step,
                        ParameterSet& parameters, Optimizer& optimizer) {
  at::NoGradGuard no_grad;
  TrainingState state = optimizer.Save(step);
  state.run = task.run;
  state.buffers = task.buffers;
  ILF_RETURN_IF_ERROR(SaveTrainingState(options.output + "/training_state.safetensors", state));
  return task.write(step, parameters.AveragedWeights());
}

}  // namespace

double LearningRate(const TrainingOptions& options, int64_t step) {
  if (step < options.warmup_steps) {
    return options.learning_rate * (step + 1) / static_cast<double>(options.warmup_steps);
  }
  const double span = std::max<int64_t>(1, options.steps - options.warmup_steps);
  const double part = std::min(1.0, (step - options.warmup_steps) / span);
  return options.learning_rate * 0.5 * (1.0 + std::cos(std::numbers::pi * part));
}

absl::Status RunTraining(const TrainingTask& task, const TrainingOptions& options,
                         ParameterSet& parameters, const std::atomic<bool>& stop) {
  ILF_RETURN_IF_ERROR(CheckShares(options));
  std::error_code error;
  std::filesystem::create_directories(options.output, error);
  if (error) return absl::InvalidArgumentError(options.output + ": " + error.message());
  Optimizer optimizer({.kind = options.optimizer,
                       .learning_rate = options.learning_rate,
                       .beta2 = options.beta2,
                       .weight_decay = options.weight_decay,
                       .bf16 = options.bf16},
                      parameters);

  int64_t step = 0;
  if (options.resume) {
    absl::StatusOr<TrainingState> state = LoadTrainingState(
        options.output + "/training_state.safetensors", task.run, parameters.size(), task.buffers);
    if (state.ok()) {
      at::NoGradGuard no_grad;
      optimizer.Restore(*state);
      for (const auto& [name, tensor] : task.buffers) {
        at::Tensor(tensor).copy_(state->buffers.at(name));
      }
      step = state->step;
    } else if (!absl::IsNotFound(state.status())) {
      return state.status();
    }
  }
  if (step >= options.steps) {
    absl::FPrintF(stderr,
                  "%s: the run in %s has taken %d steps already: more of them with --steps, or "
                  "--no_resume to begin anew\n",
                  task.name, options.output, step);
  }
  Progress progress(task.name, options, step);
  while (step < options.steps && !stop) {
    ILF_ASSIGN_OR_RETURN(const double loss, TakeStep(task, options, step, parameters, optimizer));
    ++step;
    ILF_RETURN_IF_ERROR(progress.Step(step, loss, LearningRate(options, step - 1)));
    if (step % options.checkpoint_every == 0 && step < options.steps) {
      ILF_RETURN_IF_ERROR(Checkpoint(task, options, step, parameters, optimizer));
      if (task.converged && task.converged()) {
        progress.Finish();
        return absl::OkStatus();
      }
    }
  }
  progress.Finish();
  ILF_RETURN_IF_ERROR(Checkpoint(task, options, step, parameters, optimizer));
  if (step < options.steps) {
    return absl::CancelledError(absl::StrCat("stopped after step ", step, " of ", options.steps,
                                             "; the same command goes on from there"));
  }
  return absl::OkStatus();
}

}  // namespace ilf
