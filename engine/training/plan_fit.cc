#include "engine/training/plan_fit.h"

#include <algorithm>
#include <utility>
#include <vector>

#include <torch/types.h>

#include "engine/base/check.h"
#include "engine/base/status_macros.h"

namespace ilf {
namespace {

// Takes every image one step on, `batch` at a time.
void StepAll(const Denoiser& denoiser, std::vector<Trajectory>& images, int64_t batch) {
  const std::vector<Trajectory*> pointers = PointersTo(images);
  for (size_t begin = 0; begin < pointers.size(); begin += batch) {
    const size_t count = std::min<size_t>(batch, pointers.size() - begin);
    StepTogether(denoiser, {pointers.data() + begin, count});
  }
}

at::Tensor PredictionsOf(const std::vector<Trajectory>& images) {
  std::vector<at::Tensor> x0;
  for (const Trajectory& image : images) x0.push_back(image.x0);
  return at::cat(x0);
}

// The weights w for which the sum of w_i * inputs_i is closest to `target`.
std::vector<double> LeastSquares(const std::vector<at::Tensor>& inputs, const at::Tensor& target) {
  std::vector<at::Tensor> columns;
  for (const at::Tensor& input : inputs)
    columns.push_back(input.flatten().to(at::kCPU, at::kDouble));
  const at::Tensor matrix = at::stack(columns, 1);
  const at::Tensor right =
      matrix.t().matmul(target.flatten().to(at::kCPU, at::kDouble).unsqueeze(1));
  const at::Tensor solution = at::linalg_solve(matrix.t().matmul(matrix), right).flatten();
  return {solution.data_ptr<double>(), solution.data_ptr<double>() + solution.numel()};
}

}  // namespace

absl::StatusOr<at::Tensor> RunPlan(const Denoiser& denoiser, const NoiseSchedule& schedule,
                                   const FeedbackPlan& plan, const Reference& reference,
                                   const PlanRunOptions& options) {
  at::NoGradGuard no_grad;
  ILF_ASSIGN_OR_RETURN(const StepPlan steps, MakeFeedbackStepPlan(schedule, plan));
  std::vector<Trajectory> images = StartImages(denoiser, steps, reference, options.device);
  for (int i = 0; i < plan.steps; ++i) StepAll(denoiser, images, options.batch);
  return LatentsOf(images).to(at::kCPU);
}

absl::StatusOr<FittedPlan> FitCoefficients(const Denoiser& denoiser, const NoiseSchedule& schedule,
                                           FeedbackPlan plan, const Reference& reference,
                                           const PlanRunOptions& options) {
  Check(plan.timesteps == reference.timesteps,
        "the reference keeps states at the plan's timesteps");
  at::NoGradGuard no_grad;
  plan.coefficients.clear();
  ILF_ASSIGN_OR_RETURN(const StepPlan steps, MakeFeedbackStepPlan(schedule, plan));
  std::vector<Trajectory> images = StartImages(denoiser, steps, reference, options.device);
  at::Tensor x = reference.noise().to(options.device);
  at::Tensor x0_previous;
  for (int i = 0; i < plan.steps; ++i) {
    StepAll(denoiser, images, options.batch);
    const at::Tensor x0 = PredictionsOf(images);
    std::vector<at::Tensor> inputs = {x, x0};
    if (i > 0) inputs.push_back(x0_previous);
    const std::vector<double> w = LeastSquares(inputs, reference.states[i + 1]);
    plan.coefficients.push_back({w[0], w[1], i > 0 ? w[2] : 0.0});
    x = x * w[0] + x0 * w[1];
    if (i > 0) x = x + x0_previous * w[2];
    x0_previous = x0;
    for (size_t j = 0; j < images.size(); ++j) {
      images[j].x = x.narrow(0, static_cast<int64_t>(j), 1);
    }
  }
  return FittedPlan{std::move(plan), Rmse(x.to(at::kCPU), reference.final_latents())};
}

}  // namespace ilf
