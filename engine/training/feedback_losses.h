// What a feedback module learns from: one batch, one scalar.
#pragma once

#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

#include "engine/model/autoencoder_kl.h"
#include "engine/model/image_classifier.h"
#include "engine/pipeline/denoiser.h"
#include "engine/pipeline/feedback.h"
#include "engine/sampling/noise_schedule.h"
#include "engine/training/landing.h"
#include "engine/training/reference.h"

namespace ilf {

// What a run on the sampler's own states makes small.
enum class SamplerLoss {
  kFinal,     // the error of the final latents, through the whole sampler (Watson et al., "Learning
              // Fast Samplers")
  kLanding,   // of every step, the error of where it lands; the steps before are taken as they are
  kPictures,  // as kFinal, the error of the decoded pictures
};

// What kPictures looks at pictures with.
struct PictureEyes {
  const AutoencoderKl* autoencoder = nullptr;
  const ImageClassifier* classifier = nullptr;  // null: pixels alone
};

struct SamplerErrors {
  at::Tensor mean_square = {};  // a scalar, by the SamplerLoss
  at::Tensor features = {};     // of the pictures, [images, d]; undefined without a classifier
};

// Rolls the accelerated sampler from the noise of `batch`, which for kLanding keeps states where
// the steps of `plan` start. coefficients [steps, 3]: a, b and c of each step, in place of the
// plan's. `eyes` are for kPictures, and not looked at otherwise.
SamplerErrors ErrorsOnSampler(const Denoiser& student, const StepPlan& plan,
                              const at::Tensor& coefficients, const Reference& batch,
                              SamplerLoss loss, const PictureEyes& eyes);

// The a, b and c of `plan`, [steps, 3] float32.
at::Tensor CoefficientsOf(const StepPlan& plan);

// Noised pictures: clean and noise [images, channels, h, w].
struct NoisedPictures {
  at::Tensor clean;
  at::Tensor noise;
  std::vector<Subject> subjects;  // by picture
  at::Tensor no_prompt;           // of Subjects
};

struct TeacherOptions {
  LandingTarget target = LandingTarget::kRenoised;
  int substeps = 4;  // of the teacher, where it solves
};

// What a picture of a batch learns.
struct PictureTask {
  FeedbackStep feedback;
  double guidance_scale = 1.0;
};

// Pictures take turns at the feedback steps of `plan` and, each time around, at its least and its
// greatest guidance scale.
PictureTask TaskOf(const CalibratedPlan& plan, int64_t picture);

// One feedback step of `plan` from each picture, by TaskOf. Mean squared error of the landing.
at::Tensor LossOnImages(const Denoiser& student, const NoiseSchedule& schedule,
                        const CalibratedPlan& plan, const NoisedPictures& pictures,
                        const TeacherOptions& teacher);

}  // namespace ilf
