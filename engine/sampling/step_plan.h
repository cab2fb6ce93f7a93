// The steps that an image will take, fixed when it is admitted: a table of coefficients, no control
// flow.
#pragma once

#include <limits>
#include <vector>

namespace ilf {

// A plain pass runs every block once, a feedback pass the inner blocks again (docs/ilf.md).
enum class PassKind { kPlain, kFeedback };

// One solver update, for the latent x and the model's output `eps` (whatever its prediction type):
//   eps = model(c_in * x, timestep)
//   x0  = clamp(p * x + q * eps, -clip, clip)
//   x'  = a * x + b * x0 + c * x0_previous + e * eps
// x0_previous is the x0 of the step before; the first step of a plan has c == 0.
struct PlannedStep {
  double timestep = 0.0;
  PassKind pass = PassKind::kPlain;
  double target_timestep = 0.0;  // that a feedback pass aims at
  double c_in = 1.0;
  double p = 0.0;
  double q = 0.0;
  double clip = std::numeric_limits<double>::infinity();
  double a = 0.0;
  double b = 0.0;
  double c = 0.0;
  double e = 0.0;
};

struct StepPlan {
  std::vector<PlannedStep> steps;    // in the order in which they are taken
  double initial_noise_scale = 1.0;  // x starts as this times unit normal noise

  // Where each of them starts.
  std::vector<double> Timesteps() const {
    std::vector<double> timesteps;
    for (const PlannedStep& step : steps) timesteps.push_back(step.timestep);
    return timesteps;
  }
};

}  // namespace ilf
