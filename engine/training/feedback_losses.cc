#include "engine/training/feedback_losses.h"

#include <cmath>
#include <vector>

#include <torch/types.h>

namespace ilf {
namespace {

at::Tensor Land(const Transformer& model, const NoiseSchedule& schedule,
                const std::vector<Trajectory*>& images, const NoisedPictures& pictures,
                const TeacherOptions& teacher) {
  switch (teacher.target) {
    case LandingTarget::kRenoised:
      return LandWithRenoisedTeacher(model, schedule, images, pictures.clean, pictures.noise);
    case LandingTarget::kTrajectory:
      return LandWithTeacherOnTrajectory(model, schedule, images, teacher.substeps);
    case LandingTarget::kEffective:
      return LandWithTeacherSolve(model, schedule, images, teacher.substeps);
  }
  return {};
}

SamplerErrors ErrorsOfPictures(const at::Tensor& latents, const at::Tensor& reference,
                               const PictureEyes& eyes) {
  const at::Tensor pictures = eyes.autoencoder->DecodeScaled(latents);
  SamplerErrors errors;
  errors.mean_square = (pictures - eyes.autoencoder->DecodeScaled(reference)).square().mean();
  if (eyes.classifier != nullptr) errors.features = eyes.classifier->Features(pictures);
  return errors;
}

}  // namespace

at::Tensor CoefficientsOf(const StepPlan& plan) {
  std::vector<double> values;
  for (const PlannedStep& step : plan.steps) values.insert(values.end(), {step.a, step.b, step.c});
  return at::tensor(values, at::kFloat).view({-1, 3});
}

SamplerErrors ErrorsOnSampler(const Denoiser& student, const StepPlan& plan,
                              const at::Tensor& coefficients, const Reference& batch,
                              SamplerLoss loss, const PictureEyes& eyes) {
  const c10::Device device = coefficients.device();
  const at::Tensor states = batch.states.to(device);
  std::vector<Trajectory> images = StartImages(student, plan, batch, device);
  const std::vector<Trajectory*> pointers = PointersTo(images);
  at::Tensor x = LatentsOf(images);
  at::Tensor x0_previous = at::zeros_like(x);
  at::Tensor landings = at::zeros({}, x.options());
  for (size_t i = 0; i < plan.steps.size(); ++i) {
    const PlannedStep& step = plan.steps[i];
    const at::Tensor output = PredictTogether(student, pointers);
    const at::Tensor x0 = (step.p * x + step.q * output).clamp(-step.clip, step.clip);
    const at::Tensor c = coefficients[static_cast<int64_t>(i)];
    x = c[0] * x + c[1] * x0 + c[2] * x0_previous + step.e * output;
    x0_previous = x0;
    if (loss == SamplerLoss::kLanding) {
      landings = landings + (x - states[static_cast<int64_t>(i) + 1]).square().mean();
      x = x.detach();
      x0_previous = x0.detach();
    }
    for (size_t j = 0; j < images.size(); ++j) {
      images[j].x = x.narrow(0, static_cast<int64_t>(j), 1);
      ++images[j].steps_done;
    }
  }
  if (loss == SamplerLoss::kLanding) return {.mean_square = landings};
  if (loss == SamplerLoss::kPictures) return ErrorsOfPictures(x, states[-1], eyes);
  return {.mean_square = (x - states[-1]).square().mean()};
}

PictureTask TaskOf(const CalibratedPlan& plan, int64_t picture) {
  const int64_t steps = static_cast<int64_t>(plan.plan.feedback.size());
  return {plan.plan.feedback[picture % steps],
          picture / steps % 2 == 0 ? plan.min_guidance_scale : plan.max_guidance_scale};
}

at::Tensor LossOnImages(const Denoiser& student, const NoiseSchedule& schedule,
                        const CalibratedPlan& plan, const NoisedPictures& pictures,
                        const TeacherOptions& teacher) {
  std::vector<Trajectory> images;
  const std::vector<ImageCondition> conditions =
      ConditionsOf(student, pictures.subjects, pictures.no_prompt);
  for (int64_t i = 0; i < pictures.clean.size(0); ++i) {
    const PictureTask task = TaskOf(plan, i);
    const double sigma = schedule.SigmaAt(plan.steps.steps[task.feedback.step].timestep);
    const double signal = 1.0 / std::sqrt(1.0 + sigma * sigma);
    const at::Tensor x =
        pictures.clean.narrow(0, i, 1) * signal + pictures.noise.narrow(0, i, 1) * (sigma * signal);
    images.push_back(StartTrajectory(plan.steps, x, conditions[i], task.guidance_scale));
    images.back().steps_done = task.feedback.step;
  }
  const std::vector<Trajectory*> pointers = PointersTo(images);
  const at::Tensor landing = Land(*student.transformer, schedule, pointers, pictures, teacher);
  StepTogether(student, pointers);
  return (LatentsOf(images) - landing).square().mean();
}

}  // namespace ilf
