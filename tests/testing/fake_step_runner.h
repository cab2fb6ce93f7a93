// A StepRunner without mathematics: it counts, records, and does what the test's hooks say.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "engine/api/step_runner.h"

namespace ilf {

// Its rows follow from the guidance scale, a plain pass runs 28 blocks. With feedback every step
// runs it, in 35 blocks, and does the work of two.
class FakeImage final : public ImageState {
 public:
  FakeImage(const GenerationRequest& request, int image_index, int64_t tokens_per_row);

  const std::string& BatchKey() const override { return batch_key_; }
  int Rows() const override { return rows_; }
  int64_t TokensPerRow() const override { return tokens_per_row_; }
  int Steps() const override { return steps_; }
  int StepsDone() const override { return steps_done_; }
  int FeedbackRows() const override { return feedback_ ? rows_ : 0; }
  int FeedbackSteps() const override { return feedback_ ? steps_ : 0; }
  int64_t BlockEvaluations() const override {
    return int64_t{feedback_ ? 35 : 28} * rows_ * steps_done_;
  }
  int64_t PlainBlockEvaluations() const override {
    return int64_t{28} * rows_ * steps_ * (feedback_ ? 2 : 1);
  }

  // "request_id/image_index"
  const std::string& name() const { return name_; }
  void Prepare();
  void Step();

 private:
  const std::string name_;
  const std::string batch_key_;
  const int rows_;
  const int64_t tokens_per_row_;
  const int steps_;
  const bool feedback_;
  bool prepared_ = false;
  int steps_done_ = 0;
};

// Names of the images of one Run that succeeded, in the order of the call.
using FakeBatch = std::vector<std::string>;

// Thread-safe as StepRunner asks. An encoded picture's bytes are the image's name, '@' and its
// steps done; those of a preview "preview" and the steps done, which are also its raw picture's
// width. A batch key is the model; each 16 x 16 pixels are a token, unless a hook counts them. Of
// its memory each batch that it ran has taken a byte.
class FakeStepRunner final : public StepRunner {
 public:
  // Called before the runner does its own part, which it leaves out on an error. May throw and may
  // wait.
  struct Hooks {
    std::function<absl::Status(const std::string& name)> begin;
    std::function<absl::Status(const FakeBatch& batch)> run;
    std::function<absl::Status(const std::string& name)> take_preview;
    std::function<absl::Status()> encode_preview;
    std::function<absl::Status(const std::string& name)> finish;
    std::function<absl::Status(const FakeBatch& batch)> prepare = nullptr;
    std::function<int64_t(const GenerationRequest& request)> tokens_per_row = nullptr;
  };
  FakeStepRunner();
  explicit FakeStepRunner(Hooks hooks);

  void PrepareThread() override;
  int64_t TokensPerRow(const GenerationRequest& request) const override;
  absl::StatusOr<std::unique_ptr<ImageState>> Begin(const GenerationRequest& request,
                                                    int image_index) override;
  absl::Status Prepare(absl::Span<ImageState* const> images) override;
  absl::Status Run(absl::Span<ImageState* const> images) override;
  absl::StatusOr<RgbImage> TakePreview(const ImageState& image) override;
  absl::StatusOr<EncodedImage> EncodePreview(const RgbImage& preview,
                                             const PreviewOptions& options) override;
  absl::StatusOr<EncodedImage> Finish(const ImageState& image, ImageFormat format) override;
  std::optional<DeviceMemory> Memory() override;

  std::vector<FakeBatch> batches() const;
  int threads_prepared() const;

 private:
  const Hooks hooks_;
  mutable absl::Mutex mutex_;
  std::vector<FakeBatch> batches_ ABSL_GUARDED_BY(mutex_);
  int threads_prepared_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace ilf
