#include "tests/testing/fake_step_runner.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/check.h"
#include "engine/base/status_macros.h"

namespace ilf {
namespace {

const FakeImage& AsFake(const ImageState& image) { return dynamic_cast<const FakeImage&>(image); }

FakeBatch BatchOf(absl::Span<ImageState* const> images) {
  FakeBatch batch;
  for (const ImageState* image : images) {
    Check(image->BatchKey() == images.front()->BatchKey(), "a batch has one key");
    batch.push_back(AsFake(*image).name());
  }
  return batch;
}

}  // namespace

FakeImage::FakeImage(const GenerationRequest& request, int image_index, int64_t tokens_per_row)
    : name_(absl::StrCat(request.request_id, "/", image_index)),
      batch_key_(request.model),
      rows_(request.guidance_scale == 1.0 ? 1 : 2),
      tokens_per_row_(tokens_per_row),
      steps_(request.steps),
      feedback_(request.acceleration == Acceleration::kFeedback) {}

void FakeImage::Prepare() {
  Check(!prepared_ && steps_done_ == 0, "an image is prepared once, before its first step");
  prepared_ = true;
}

void FakeImage::Step() {
  Check(prepared_ && steps_done_ < steps_, "an image is prepared and has steps left");
  ++steps_done_;
}

FakeStepRunner::FakeStepRunner() = default;

FakeStepRunner::FakeStepRunner(Hooks hooks) : hooks_(std::move(hooks)) {}

void FakeStepRunner::PrepareThread() {
  absl::MutexLock lock(&mutex_);
  ++threads_prepared_;
}

int64_t FakeStepRunner::TokensPerRow(const GenerationRequest& request) const {
  if (hooks_.tokens_per_row) return hooks_.tokens_per_row(request);
  return int64_t{request.width} * request.height / 256;
}

absl::StatusOr<std::unique_ptr<ImageState>> FakeStepRunner::Begin(const GenerationRequest& request,
                                                                  int image_index) {
  auto image = std::make_unique<FakeImage>(request, image_index, TokensPerRow(request));
  if (hooks_.begin) ILF_RETURN_IF_ERROR(hooks_.begin(image->name()));
  return image;
}

absl::Status FakeStepRunner::Prepare(absl::Span<ImageState* const> images) {
  if (hooks_.prepare) ILF_RETURN_IF_ERROR(hooks_.prepare(BatchOf(images)));
  for (ImageState* image : images) dynamic_cast<FakeImage&>(*image).Prepare();
  return absl::OkStatus();
}

absl::Status FakeStepRunner::Run(absl::Span<ImageState* const> images) {
  FakeBatch batch = BatchOf(images);
  if (hooks_.run) ILF_RETURN_IF_ERROR(hooks_.run(batch));
  for (ImageState* image : images) dynamic_cast<FakeImage&>(*image).Step();
  absl::MutexLock lock(&mutex_);
  batches_.push_back(std::move(batch));
  return absl::OkStatus();
}

absl::StatusOr<RgbImage> FakeStepRunner::TakePreview(const ImageState& image) {
  if (hooks_.take_preview) ILF_RETURN_IF_ERROR(hooks_.take_preview(AsFake(image).name()));
  const int width = image.StepsDone();
  return RgbImage{width, 1, std::vector<uint8_t>(3 * width)};
}

absl::StatusOr<EncodedImage> FakeStepRunner::EncodePreview(const RgbImage& preview,
                                                           const PreviewOptions& options) {
  if (hooks_.encode_preview) ILF_RETURN_IF_ERROR(hooks_.encode_preview());
  return EncodedImage{options.format, preview.width, 1, absl::StrCat("preview", preview.width)};
}

absl::StatusOr<EncodedImage> FakeStepRunner::Finish(const ImageState& image, ImageFormat format) {
  const std::string& name = AsFake(image).name();
  if (hooks_.finish) ILF_RETURN_IF_ERROR(hooks_.finish(name));
  return EncodedImage{format, 64, 64, absl::StrCat(name, "@", image.StepsDone())};
}

std::optional<DeviceMemory> FakeStepRunner::Memory() {
  return DeviceMemory{"fake:0", static_cast<int64_t>(batches().size()), 1000};
}

std::vector<FakeBatch> FakeStepRunner::batches() const {
  absl::MutexLock lock(&mutex_);
  return batches_;
}

int FakeStepRunner::threads_prepared() const {
  absl::MutexLock lock(&mutex_);
  return threads_prepared_;
}

}  // namespace ilf
