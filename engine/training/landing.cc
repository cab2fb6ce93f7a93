#include "engine/training/landing.h"

#include <cmath>
#include <optional>

#include <torch/types.h>

#include "engine/sampling/dpm_solver_pp.h"
#include "engine/sampling/level_spacing.h"
#include "engine/sampling/update.h"
#include "engine/training/reference.h"

namespace ilf {
namespace {

// The teacher's guided output at `timestep` of each image's x: a plan whose only update is x' =
// eps.
at::Tensor OutputAt(const Transformer& teacher, std::vector<Trajectory> images,
                    const std::vector<double>& timesteps) {
  for (size_t i = 0; i < images.size(); ++i) {
    PlannedStep read;
    read.timestep = timesteps[i];
    read.e = 1.0;
    images[i].plan.steps = {read};
    images[i].steps_done = 0;
  }
  StepTogether({&teacher}, PointersTo(images));
  return LatentsOf(images);
}

// Each image's next update, made with `output`.
at::Tensor UpdateWith(absl::Span<Trajectory* const> images, const at::Tensor& output) {
  std::vector<at::Tensor> x, x0;
  std::vector<PlannedStep> steps;
  for (const Trajectory* image : images) {
    x.push_back(image->x);
    x0.push_back(image->x0.defined() ? image->x0 : at::zeros_like(image->x));
    steps.push_back(image->next_step());
  }
  return ApplyUpdate(at::cat(x), output, at::cat(x0), StepCoefficients(steps).to(output.device()))
      .x;
}

// Steps of DPM-Solver++ from `from` to the timestep `to` (nullopt: to the picture, where there is
// no noise), even in log SNR.
StepPlan SolvePlan(const NoiseSchedule& schedule, double from, std::optional<double> to,
                   int substeps) {
  const double sigma = schedule.SigmaAt(from);
  const double last = schedule.SigmaAt(to.value_or(0.0));
  std::vector<NoiseLevel> levels;
  for (int i = 0; i <= substeps; ++i) {
    const double level = sigma * std::pow(last / sigma, static_cast<double>(i) / substeps);
    levels.push_back({schedule.TimestepAt(level), level});
  }
  StepPlan plan = DpmSolverPpPlanFrom(schedule, levels);
  // The plan of these levels goes on to no noise: its last step is taken only there.
  if (to) plan.steps.pop_back();
  return plan;
}

// Where the teacher ends from each image's x after SolvePlan(now, ends[i]). Images at different
// steps may take different numbers of passes.
std::vector<Trajectory> Solve(const Transformer& teacher, const NoiseSchedule& schedule,
                              absl::Span<Trajectory* const> images,
                              const std::vector<std::optional<double>>& ends, int substeps) {
  std::vector<Trajectory> solved;
  for (size_t i = 0; i < images.size(); ++i) {
    Trajectory& image = solved.emplace_back(*images[i]);
    image.plan = SolvePlan(schedule, image.next_step().timestep, ends[i], substeps);
    image.steps_done = 0;
    image.x0 = at::Tensor();
  }
  std::vector<Trajectory*> running = PointersTo(solved);
  while (!running.empty()) {
    StepTogether({&teacher}, running);
    std::erase_if(running, [](const Trajectory* image) { return image->ended(); });
  }
  return solved;
}

std::vector<double> Targets(absl::Span<Trajectory* const> images) {
  std::vector<double> targets;
  for (const Trajectory* image : images) targets.push_back(image->next_step().target_timestep);
  return targets;
}

}  // namespace

at::Tensor LandWithRenoisedTeacher(const Transformer& teacher, const NoiseSchedule& schedule,
                                   absl::Span<Trajectory* const> images, const at::Tensor& clean,
                                   const at::Tensor& noise) {
  at::NoGradGuard no_grad;
  const std::vector<double> targets = Targets(images);
  std::vector<Trajectory> at_target;
  for (size_t i = 0; i < images.size(); ++i) {
    const double sigma = schedule.SigmaAt(targets[i]);
    const double signal = 1.0 / std::sqrt(1.0 + sigma * sigma);
    const int64_t row = static_cast<int64_t>(i);
    Trajectory& image = at_target.emplace_back(*images[i]);
    image.x = clean.narrow(0, row, 1) * signal + noise.narrow(0, row, 1) * (sigma * signal);
  }
  return UpdateWith(images, OutputAt(teacher, std::move(at_target), targets));
}

at::Tensor LandWithTeacherOnTrajectory(const Transformer& teacher, const NoiseSchedule& schedule,
                                       absl::Span<Trajectory* const> images, int substeps) {
  at::NoGradGuard no_grad;
  const std::vector<double> targets = Targets(images);
  const std::vector<std::optional<double>> ends(targets.begin(), targets.end());
  return UpdateWith(images,
                    OutputAt(teacher, Solve(teacher, schedule, images, ends, substeps), targets));
}

at::Tensor LandWithTeacherSolve(const Transformer& teacher, const NoiseSchedule& schedule,
                                absl::Span<Trajectory* const> images, int substeps) {
  at::NoGradGuard no_grad;
  std::vector<std::optional<double>> ends;
  for (const Trajectory* image : images) {
    const size_t next = image->steps_done + 1;
    ends.push_back(next < image->plan.steps.size()
                       ? std::optional<double>(image->plan.steps[next].timestep)
                       : std::nullopt);
  }
  return LatentsOf(Solve(teacher, schedule, images, ends, substeps));
}

}  // namespace ilf
