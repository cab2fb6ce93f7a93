#include "engine/training/training_loop.h"

#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>
#include <string>

#include <ATen/TensorOperators.h>
#include <ATen/ops/allclose.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

namespace ilf {
namespace {

TrainingOptions Options(const std::string& name, int64_t steps) {
  TrainingOptions options;
  options.output = ::testing::TempDir() + "/loop_" + name;
  std::filesystem::remove_all(options.output);
  options.steps = steps;
  options.warmup_steps = 2;
  options.learning_rate = 0.1;
  options.bf16 = false;
  options.checkpoint_every = 1000;
  options.log_every = 1;
  return options;
}

// Pulls the weights towards a noisy target.
TrainingTask TaskFor(const ParameterSet& parameters) {
  TrainingTask task;
  task.name = "test";
  task.loss = [&](int64_t, at::Generator generator) -> absl::StatusOr<at::Tensor> {
    const at::Tensor& weights = parameters.weights().at("w");
    const at::Tensor target = 3.0 + 0.1 * at::randn(weights.sizes(), generator);
    return (weights - target).square().mean();
  };
  task.write = [](int64_t, const NamedTensors&) { return absl::OkStatus(); };
  return task;
}

TEST(TrainingLoopTest, LowersTheLoss) {
  ParameterSet parameters({{"w", at::zeros({4})}}, at::kCPU);
  const std::atomic<bool> stop{false};
  ASSERT_TRUE(RunTraining(TaskFor(parameters), Options("lowers", 200), parameters, stop).ok());
  EXPECT_LT((parameters.weights().at("w") - 3.0).abs().max().item<double>(), 0.3);
}

// With weights of this shape.
void ExpectThatAResumedRunEndsAtTheSameBits(OptimizerKind optimizer, at::IntArrayRef shape) {
  const auto options_of = [&](const char* name) {
    TrainingOptions options = Options(name, 20);
    options.optimizer = optimizer;
    return options;
  };
  const std::atomic<bool> stop{false};
  ParameterSet whole({{"w", at::zeros(shape)}}, at::kCPU);
  ASSERT_TRUE(RunTraining(TaskFor(whole), options_of("whole"), whole, stop).ok());

  const TrainingOptions options = options_of("parts");
  {
    ParameterSet first({{"w", at::zeros(shape)}}, at::kCPU);
    std::atomic<bool> stop_soon{false};
    TrainingTask task = TaskFor(first);
    const auto loss = task.loss;
    task.loss = [&](int64_t step, at::Generator generator) {
      if (step == 8) stop_soon = true;
      return loss(step, std::move(generator));
    };
    EXPECT_TRUE(absl::IsCancelled(RunTraining(task, options, first, stop_soon)));
  }
  ParameterSet second({{"w", at::ones(shape)}}, at::kCPU);  // what it starts with must not matter
  ASSERT_TRUE(RunTraining(TaskFor(second), options, second, stop).ok());
  EXPECT_TRUE(at::equal(second.flat_weights(), whole.flat_weights()));
  EXPECT_TRUE(at::equal(second.flat_average(), whole.flat_average()));
}

TEST(TrainingLoopTest, ResumedRunEndsAtTheSameBitsAsOneInOneGo) {
  ExpectThatAResumedRunEndsAtTheSameBits(OptimizerKind::kAdamW, {4});
  ExpectThatAResumedRunEndsAtTheSameBits(OptimizerKind::kMuon, {16, 20});
}

// Where a task has something else that its losses depend on.
TEST(TrainingLoopTest, ResumedRunHasTheTasksBuffers) {
  const std::atomic<bool> stop{false};
  const auto run = [&](const TrainingOptions& options, int64_t steps) {
    ParameterSet parameters({{"w", at::zeros({4})}}, at::kCPU);
    const at::Tensor count = at::zeros({1});
    TrainingTask task = TaskFor(parameters);
    task.buffers = {{"count", count}};
    task.stepped = [&] { count.add_(1.0); };
    task.loss = [&](int64_t, const at::Generator&) -> absl::StatusOr<at::Tensor> {
      return (parameters.weights().at("w") - count).square().mean();
    };
    TrainingOptions some = options;
    some.steps = steps;
    EXPECT_TRUE(RunTraining(task, some, parameters, stop).ok());
    return count.item<double>();
  };
  EXPECT_EQ(run(Options("buffers", 0), 5), 5.0);
  TrainingOptions options = Options("buffers_parts", 0);
  EXPECT_EQ(run(options, 2), 2.0);
  EXPECT_EQ(run(options, 5), 5.0);
  // A checkpoint without them leaves them as they are.
  ParameterSet parameters({{"w", at::zeros({4})}}, at::kCPU);
  options = Options("buffers_none", 2);
  EXPECT_TRUE(RunTraining(TaskFor(parameters), options, parameters, stop).ok());
  EXPECT_EQ(run(options, 5), 3.0);
}

TEST(TrainingLoopTest, GoesOnFromACheckpointOfItsOwnRunAlone) {
  TrainingOptions options = Options("own", 5);
  const std::atomic<bool> stop{false};
  const auto run = [&](const std::string& name, int64_t steps) {
    ParameterSet parameters({{"w", at::zeros({4})}}, at::kCPU);
    TrainingTask task = TaskFor(parameters);
    task.run = name;
    options.steps = steps;
    return RunTraining(task, options, parameters, stop);
  };
  EXPECT_TRUE(run("first", 5).ok());
  const absl::Status other = run("second", 10);
  EXPECT_TRUE(absl::IsInvalidArgument(other));
  EXPECT_NE(other.message().find("--no_resume begins anew"), std::string::npos) << other;
  EXPECT_TRUE(run("first", 10).ok());
  options.resume = false;
  EXPECT_TRUE(run("second", 10).ok());
}

TEST(TrainingLoopTest, EndsAtTheCheckpointAfterWhichItHasConverged) {
  ParameterSet parameters({{"w", at::zeros({4})}}, at::kCPU);
  TrainingOptions options = Options("converged", 50);
  options.checkpoint_every = 10;
  TrainingTask task = TaskFor(parameters);
  std::vector<int64_t> written;
  task.write = [&](int64_t step, const NamedTensors&) {
    written.push_back(step);
    return absl::OkStatus();
  };
  task.converged = [&] { return written.size() == 2; };
  const std::atomic<bool> stop{false};
  ASSERT_TRUE(RunTraining(task, options, parameters, stop).ok());
  EXPECT_EQ(written, (std::vector<int64_t>{10, 20}));
}

TEST(TrainingLoopTest, WorkersLearnTheMeanOfTheirShares) {
  const auto loss_of_share = [](const ParameterSet& parameters, int64_t share) {
    const at::Tensor& weights = parameters.weights().at("w");
    const at::Tensor target = at::arange(4, at::kFloat) * std::sin(static_cast<double>(share));
    return (weights - target).square().mean();
  };
  const std::atomic<bool> stop{false};
  ParameterSet shared({{"w", at::ones({4})}}, at::kCPU), alone({{"w", at::ones({4})}}, at::kCPU);
  TrainingTask task = TaskFor(shared);
  task.loss = [&](int64_t share, const at::Generator&) { return loss_of_share(shared, share); };
  TrainingOptions options = Options("workers", 20);
  options.workers = 4;
  ASSERT_TRUE(RunTraining(task, options, shared, stop).ok());
  task.loss = [&](int64_t step, const at::Generator&) {
    at::Tensor sum = at::zeros({});
    for (int64_t i = 0; i < 4; ++i) sum = sum + loss_of_share(alone, 4 * step + i);
    return sum / 4;
  };
  ASSERT_TRUE(RunTraining(task, Options("alone", 20), alone, stop).ok());
  EXPECT_TRUE(at::allclose(shared.flat_weights(), alone.flat_weights(), 1e-5, 1e-6));
  EXPECT_FALSE(at::allclose(shared.flat_weights(), at::ones({4})));
}

TEST(TrainingLoopTest, ReturnsTheErrorOfOneWorker) {
  ParameterSet parameters({{"w", at::zeros({4})}}, at::kCPU);
  TrainingTask task = TaskFor(parameters);
  const auto loss = task.loss;
  task.loss = [&](int64_t share, at::Generator generator) -> absl::StatusOr<at::Tensor> {
    if (share == 3) return absl::NotFoundError("a picture is gone");
    return loss(share, std::move(generator));
  };
  TrainingOptions options = Options("worker_error", 5);
  options.workers = 2;
  const std::atomic<bool> stop{false};
  EXPECT_EQ(RunTraining(task, options, parameters, stop), absl::NotFoundError("a picture is gone"));
}

TEST(TrainingLoopTest, RefusesSharesThatAreNotEqual) {
  ParameterSet parameters({{"w", at::zeros({4})}}, at::kCPU);
  TrainingOptions options = Options("unequal", 5);
  options.batch_size = 10;
  options.workers = 4;
  const std::atomic<bool> stop{false};
  const absl::Status status = RunTraining(TaskFor(parameters), options, parameters, stop);
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_NE(status.message().find("batch_size 10 is not a multiple of workers 4"),
            std::string::npos);
}

TEST(TrainingLoopTest, LogsOneJsonLineAStepAndBeginsAnewWithTheRun) {
  ParameterSet parameters({{"w", at::zeros({4})}}, at::kCPU);
  TrainingOptions options = Options("log", 5);
  options.resume = false;
  const std::atomic<bool> stop{false};
  ASSERT_TRUE(RunTraining(TaskFor(parameters), options, parameters, stop).ok());
  ASSERT_TRUE(RunTraining(TaskFor(parameters), options, parameters, stop).ok());
  std::ifstream log(options.output + "/losses.jsonl");
  std::string line;
  int lines = 0;
  while (std::getline(log, line)) {
    ++lines;
    EXPECT_EQ(line.find("{\"step\": " + std::to_string(lines)), 0u) << line;
  }
  EXPECT_EQ(lines, 5);
}

TEST(TrainingLoopTest, EndsWhenTheLossIsNotFinite) {
  ParameterSet parameters({{"w", at::zeros({4})}}, at::kCPU);
  TrainingTask task = TaskFor(parameters);
  task.loss = [&](int64_t, at::Generator) -> absl::StatusOr<at::Tensor> {
    return parameters.weights().at("w").sum() * std::numeric_limits<double>::quiet_NaN();
  };
  const std::atomic<bool> stop{false};
  EXPECT_TRUE(absl::IsInternal(RunTraining(task, Options("nan", 5), parameters, stop)));
}

TEST(LearningRateTest, WarmsUpThenFallsToZero) {
  TrainingOptions options = Options("rate", 100);
  options.warmup_steps = 10;
  options.learning_rate = 1.0;
  EXPECT_DOUBLE_EQ(LearningRate(options, 0), 0.1);
  EXPECT_DOUBLE_EQ(LearningRate(options, 9), 1.0);
  EXPECT_NEAR(LearningRate(options, 55), 0.5, 1e-12);
  EXPECT_NEAR(LearningRate(options, 100), 0.0, 1e-12);
}

TEST(ParameterSetTest, NamedTensorsShareMemoryWithTheFlatOnes) {
  ParameterSet parameters({{"a", at::zeros({2})}, {"b", at::zeros({3})}}, at::kCPU);
  parameters.weights().at("b").square().sum().backward();
  parameters.flat_weights().fill_(5.0);
  EXPECT_EQ(parameters.weights().at("b")[2].item<float>(), 5.0f);
  EXPECT_EQ(parameters.size(), 5);
}

TEST(ParameterSetTest, AverageFollowsTheWeights) {
  ParameterSet parameters({{"a", at::zeros({2})}}, at::kCPU);
  parameters.flat_weights().fill_(1.0);
  parameters.UpdateAverage(0.75);
  EXPECT_FLOAT_EQ(parameters.AveragedWeights().at("a")[0].item<float>(), 0.25f);
}

}  // namespace
}  // namespace ilf
