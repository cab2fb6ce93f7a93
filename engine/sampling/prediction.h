// What a model's output says about x0 and about the noise, for a sample x = signal * x0 + noise *
// n.
#pragma once

#include "engine/sampling/noise_schedule.h"

namespace ilf {

// of_x * x + of_output * output
struct LinearMap {
  double of_x = 0.0;
  double of_output = 0.0;
};

inline LinearMap PredictedX0(PredictionType type, double signal, double noise) {
  switch (type) {
    case PredictionType::kEpsilon:
      return {1.0 / signal, -noise / signal};
    case PredictionType::kVPrediction:
      return {signal, -noise};
    case PredictionType::kSample:
      return {0.0, 1.0};
  }
  return {};
}

inline LinearMap PredictedNoise(PredictionType type, double signal, double noise) {
  switch (type) {
    case PredictionType::kEpsilon:
      return {0.0, 1.0};
    case PredictionType::kVPrediction:
      return {noise, signal};
    case PredictionType::kSample:
      return {1.0 / noise, -signal / noise};
  }
  return {};
}

}  // namespace ilf
