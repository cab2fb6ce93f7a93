#include "engine/runtime/image_output.h"

#include <utility>

#include "engine/runtime/guarded_call.h"
#include "spdlog/spdlog.h"

namespace ilf {

void ImageOutput::OfferPreview(const ActiveImage& image) {
  const auto& options = image.request->request().preview;
  const StepEvent step = image.Progress();
  if (!options.has_value() || step.step % options->every_n_steps != 0) return;
  if (!image.request->StartPreview(image.index)) return;
  absl::StatusOr<RgbImage> preview =
      GuardedCall("TakePreview", [&] { return parts_.runner->TakePreview(*image.state); });
  if (!preview.ok()) {
    spdlog::warn("no preview: {}", preview.status().ToString());
    image.request->FinishPreview(step, preview.status());
    return;
  }
  parts_.executor->Schedule([this, request = image.request, step, preview = *std::move(preview)] {
    EncodePreview(*request, step, preview);
  });
}

void ImageOutput::EncodePreview(RunningRequest& request, const StepEvent& step,
                                const RgbImage& preview) {
  if (request.Ended()) return;
  absl::StatusOr<EncodedImage> encoded = GuardedCall("EncodePreview", [&] {
    return parts_.runner->EncodePreview(preview, *request.request().preview);
  });
  if (!encoded.ok()) spdlog::warn("no preview: {}", encoded.status().ToString());
  request.FinishPreview(step, std::move(encoded));
}

void ImageOutput::Finish(ActiveImage image) {
  finishing_.fetch_add(1, std::memory_order_relaxed);
  parts_.executor->Schedule([this, image = std::move(image)]() mutable {
    {
      const ActiveImage finished = std::move(image);
      if (!finished.request->Ended()) DecodeAndDeliver(finished);
    }
    finishing_.fetch_sub(1, std::memory_order_relaxed);
    parts_.work->Wake();
  });
}

void ImageOutput::DecodeAndDeliver(const ActiveImage& image) {
  const GenerationRequest& request = image.request->request();
  const absl::Time began = parts_.clock->Now();
  absl::StatusOr<EncodedImage> encoded =
      GuardedCall("Finish", [&] { return parts_.runner->Finish(*image.state, request.format); });
  const absl::Time done = parts_.clock->Now();
  if (!encoded.ok()) {
    spdlog::error("request {}: decoding failed: {}", request.request_id,
                  encoded.status().ToString());
    image.request->End(encoded.status());
    return;
  }
  parts_.work->AddDecode(image.request->cost_key(), done - began);
  ImageEvent event;
  event.image_index = image.index;
  event.seed = request.seed + static_cast<uint64_t>(image.index);
  event.steps = image.state->StepsDone();
  event.feedback_steps = image.state->FeedbackSteps();
  event.block_evaluations = image.state->BlockEvaluations();
  event.plain_block_evaluations = image.state->PlainBlockEvaluations();
  event.timings = {.queue = image.taken - image.request->submitted(),
                   .denoise = image.denoised - image.taken,
                   .decode = done - image.denoised};
  event.image = *std::move(encoded);
  image.request->ImageDone(std::move(event));
}

}  // namespace ilf
