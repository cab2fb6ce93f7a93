// The mathematics as the runtime sees it: images are opaque, a step of a batch is one call.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/api/device_memory.h"
#include "engine/api/generation.h"

namespace ilf {

// One image's sampling trajectory on one device. Not thread-safe: the worker that began it steps
// it, and afterwards hands it over to the thread that finishes it.
class ImageState {
 public:
  virtual ~ImageState() = default;
  // Images with equal keys can share a forward pass: same model and dtype.
  virtual const std::string& BatchKey() const = 0;
  virtual int Rows() const = 0;  // transformer rows of its next step: 2 with guidance, else 1
  virtual int64_t TokensPerRow() const = 0;  // tokens of each of these rows: that of its request
  virtual int Steps() const = 0;             // of its step plan
  virtual int StepsDone() const = 0;
  virtual int FeedbackRows() const = 0;          // of Rows(), how many run feedback
  virtual int FeedbackSteps() const = 0;         // of Steps(), how many run feedback
  virtual int64_t BlockEvaluations() const = 0;  // run so far, counted per row
  // What plain sampling of the same quality runs from the first step to the last; without feedback
  // that is what this image will have run.
  virtual int64_t PlainBlockEvaluations() const = 0;
};

// One per worker. Run and the calls marked (worker) come from the worker's thread only; those
// marked (any) from any thread, also while Run is under way, and never twice at once for one image.
class StepRunner {
 public:
  virtual ~StepRunner() = default;

  // (any) Once on every thread before its other calls: sets what is per thread, such as math
  // threads.
  virtual void PrepareThread() = 0;

  // (any) Tokens of each transformer row of the images of `request`: how many sizes there are is
  // decided by the models, not by what is asked for.
  virtual int64_t TokensPerRow(const GenerationRequest& request) const = 0;

  // (worker) Draws the noise and makes the step plan of image `image_index` of `request`.
  virtual absl::StatusOr<std::unique_ptr<ImageState>> Begin(const GenerationRequest& request,
                                                            int image_index) = 0;

  // (worker) What images need before their first step and can share, such as the encoding of their
  // prompts: once for each image, after Begin and before Run. All have the same BatchKey(). On
  // error none of them may be stepped, except after RESOURCE_EXHAUSTED, when fewer at a time may be
  // tried.
  virtual absl::Status Prepare(absl::Span<ImageState* const> images) = 0;

  // (worker) Takes every image one step further. All have the same BatchKey() and steps left. On
  // error no image has moved and none of them may be stepped again, except after RESOURCE_EXHAUSTED
  // (the device is out of memory), when smaller batches of the same images may be tried.
  virtual absl::Status Run(absl::Span<ImageState* const> images) = 0;

  // (worker) The predicted picture after the latest step, at the size of a latent of the picture,
  // and cut as that will be. Cheap.
  virtual absl::StatusOr<RgbImage> TakePreview(const ImageState& image) = 0;

  // (any) Resizes and encodes a preview.
  virtual absl::StatusOr<EncodedImage> EncodePreview(const RgbImage& preview,
                                                     const PreviewOptions& options) = 0;

  // (any) Decodes and encodes an image that has taken all its steps.
  virtual absl::StatusOr<EncodedImage> Finish(const ImageState& image, ImageFormat format) = 0;

  // (worker) Absent where the device does not tell. Cheap.
  virtual std::optional<DeviceMemory> Memory() = 0;
};

}  // namespace ilf
