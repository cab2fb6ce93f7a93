// What a caller asks for and what the engine answers, in plain C++.
//
// A GenerationRequest is fully resolved: defaults are filled in and every field lies within the
// limits of the ModelInfo it names (server/ does both). The engine treats a breach as a programming
// error of its caller.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/time/time.h"

namespace ilf {

// The update rule from one timestep to the next.
enum class Solver { kDdim, kDpmSolverPp2m, kEuler };

// Whether Inner Loop Feedback runs.
enum class Acceleration { kOff, kFeedback };

// Order of service; within one priority the earlier deadline, then the earlier arrival goes first.
enum class Priority { kLow = 0, kNormal = 1, kHigh = 2 };

enum class ImageFormat { kPng, kJpeg };

// Index of a class of a class-conditional model, in [0, number of classes).
struct ClassCondition {
  int class_index = 0;
};

// UTF-8 text for a text-conditional model.
struct TextCondition {
  std::string prompt;
  std::string negative_prompt;
};

struct PreviewOptions {
  int every_n_steps = 1;  // >= 1; the last step gives the image itself, never a preview
  int max_side = 0;       // pixels of the longer side, aspect kept; 0 = the size of a latent
  ImageFormat format = ImageFormat::kPng;
};

struct GenerationRequest {
  std::string request_id;  // unique among running requests
  std::string model;
  std::variant<ClassCondition, TextCondition> condition;
  int width = 0;   // pixels
  int height = 0;  // pixels
  int steps = 0;
  double guidance_scale = 1.0;  // 1 = no guidance: one row an image instead of two
  uint64_t seed = 0;            // image i is drawn with seed + i (modulo 2^64)
  int image_count = 1;
  Solver solver = Solver::kDdim;
  Acceleration acceleration =
      Acceleration::kOff;                 // kFeedback: the model has a plan of `steps` and `solver`
  std::optional<PreviewOptions> preview;  // none = no previews
  ImageFormat format = ImageFormat::kPng;
  Priority priority = Priority::kNormal;
  absl::Time deadline = absl::InfiniteFuture();
};

// Interleaved 8-bit RGB, rows top to bottom, no padding: pixels.size() == 3 * width * height.
struct RgbImage {
  int width = 0;
  int height = 0;
  std::vector<uint8_t> pixels;
};

struct EncodedImage {
  ImageFormat format = ImageFormat::kPng;
  int width = 0;
  int height = 0;
  std::string bytes;
};

// ---- Events of one request, in the order in which they can occur.

// The request waits. Sent once, when it is admitted to the queue.
struct QueuedEvent {
  int images_ahead = 0;
  absl::Duration estimated_wait;  // zero while nothing has been measured
};

// The first image of the request has been taken up by a worker.
struct StartedEvent {
  absl::Duration queue_wait;
};

struct StepEvent {
  int image_index = 0;
  int step = 0;  // steps done, 1 .. steps
  int steps = 0;
};

// The picture that the model predicts at this step (x0, never the noisy latent).
struct PreviewEvent {
  int image_index = 0;
  int step = 0;
  int steps = 0;
  EncodedImage image;
};

struct ImageTimings {
  absl::Duration queue;    // admitted -> taken up by a worker
  absl::Duration denoise;  // taken up -> last step done
  absl::Duration decode;   // last step done -> encoded
};

struct ImageEvent {
  int image_index = 0;
  uint64_t seed = 0;
  int steps = 0;
  int feedback_steps = 0;               // of these, how many ran feedback
  int64_t block_evaluations = 0;        // transformer blocks run, counted per row
  int64_t plain_block_evaluations = 0;  // what plain sampling of the same quality would have run
  ImageTimings timings;
  EncodedImage image;
};

// Every image has been delivered.
struct CompletedEvent {
  int images = 0;
  absl::Duration total;  // admitted -> completed
};

using Event =
    std::variant<QueuedEvent, StartedEvent, StepEvent, PreviewEvent, ImageEvent, CompletedEvent>;

}  // namespace ilf
