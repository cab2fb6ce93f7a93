#include "server/conversion.h"

#include <algorithm>
#include <string>
#include <utility>
#include <variant>

#include "server/duration_conversion.h"

namespace ilf {
namespace {

v1::ImageSize SizeToProto(const ImageSize& size) {
  v1::ImageSize proto;
  proto.set_width(size.width);
  proto.set_height(size.height);
  return proto;
}

v1::ImageTimings TimingsToProto(const ImageTimings& timings) {
  v1::ImageTimings proto;
  *proto.mutable_queue() = ToProto(timings.queue);
  *proto.mutable_denoise() = ToProto(timings.denoise);
  *proto.mutable_decode() = ToProto(timings.decode);
  return proto;
}

// Converts each alternative of Event.
class EventConverter {
 public:
  EventConverter(const RequestNames& names, int max_chunk_bytes)
      : names_(names), max_chunk_bytes_(max_chunk_bytes) {}

  std::vector<v1::GenerateResponse> operator()(const QueuedEvent& event) const {
    v1::GenerateResponse response;
    v1::QueuedEvent* queued = response.mutable_queued();
    queued->set_request_id(std::string(names_.request_id));
    queued->set_model(std::string(names_.model));
    queued->set_images_ahead(event.images_ahead);
    *queued->mutable_estimated_wait() = ToProto(event.estimated_wait);
    return {std::move(response)};
  }

  std::vector<v1::GenerateResponse> operator()(const StartedEvent& event) const {
    v1::GenerateResponse response;
    *response.mutable_started()->mutable_queue_wait() = ToProto(event.queue_wait);
    return {std::move(response)};
  }

  std::vector<v1::GenerateResponse> operator()(const StepEvent& event) const {
    v1::GenerateResponse response;
    v1::StepEvent* step = response.mutable_step();
    step->set_image_index(event.image_index);
    step->set_step(event.step);
    step->set_steps(event.steps);
    return {std::move(response)};
  }

  std::vector<v1::GenerateResponse> operator()(PreviewEvent& event) const {
    v1::GenerateResponse response;
    v1::PreviewEvent* preview = response.mutable_preview();
    preview->set_image_index(event.image_index);
    preview->set_step(event.step);
    preview->set_steps(event.steps);
    preview->set_format(ToProto(event.image.format));
    preview->set_width(event.image.width);
    preview->set_height(event.image.height);
    preview->set_data(std::move(event.image.bytes));
    return {std::move(response)};
  }

  std::vector<v1::GenerateResponse> operator()(ImageEvent& event) const {
    std::string& bytes = event.image.bytes;
    std::vector<v1::GenerateResponse> chunks;
    size_t offset = 0;
    do {
      const size_t size = std::min<size_t>(max_chunk_bytes_, bytes.size() - offset);
      v1::ImageEvent* chunk = chunks.emplace_back().mutable_image();
      DescribeImage(event, chunk);
      chunk->set_chunk_offset(offset);
      chunk->set_total_size(bytes.size());
      chunk->set_last_chunk(offset + size == bytes.size());
      chunk->set_data(size == bytes.size() ? std::move(bytes) : bytes.substr(offset, size));
      if (chunk->last_chunk()) return chunks;
      offset += size;
    } while (true);
  }

  std::vector<v1::GenerateResponse> operator()(const CompletedEvent& event) const {
    v1::GenerateResponse response;
    response.mutable_completed()->set_image_count(event.images);
    *response.mutable_completed()->mutable_total() = ToProto(event.total);
    return {std::move(response)};
  }

 private:
  static void DescribeImage(const ImageEvent& event, v1::ImageEvent* proto) {
    proto->set_image_index(event.image_index);
    proto->set_seed(event.seed);
    proto->set_format(ToProto(event.image.format));
    proto->set_width(event.image.width);
    proto->set_height(event.image.height);
    proto->set_steps(event.steps);
    proto->set_feedback_steps(event.feedback_steps);
    proto->set_block_evaluations(event.block_evaluations);
    proto->set_plain_block_evaluations(event.plain_block_evaluations);
    *proto->mutable_timings() = TimingsToProto(event.timings);
  }

  const RequestNames names_;
  const int max_chunk_bytes_;
};

}  // namespace

std::optional<Solver> FromProto(v1::Solver solver) {
  switch (solver) {
    case v1::SOLVER_DDIM:
      return Solver::kDdim;
    case v1::SOLVER_DPM_SOLVER_PP_2M:
      return Solver::kDpmSolverPp2m;
    case v1::SOLVER_EULER:
      return Solver::kEuler;
    default:
      return std::nullopt;
  }
}

std::optional<ImageFormat> FromProto(v1::ImageFormat format) {
  switch (format) {
    case v1::IMAGE_FORMAT_PNG:
      return ImageFormat::kPng;
    case v1::IMAGE_FORMAT_JPEG:
      return ImageFormat::kJpeg;
    default:
      return std::nullopt;
  }
}

std::optional<Priority> FromProto(v1::Priority priority) {
  switch (priority) {
    case v1::PRIORITY_LOW:
      return Priority::kLow;
    case v1::PRIORITY_NORMAL:
      return Priority::kNormal;
    case v1::PRIORITY_HIGH:
      return Priority::kHigh;
    default:
      return std::nullopt;
  }
}

v1::Solver ToProto(Solver solver) {
  switch (solver) {
    case Solver::kDdim:
      return v1::SOLVER_DDIM;
    case Solver::kDpmSolverPp2m:
      return v1::SOLVER_DPM_SOLVER_PP_2M;
    case Solver::kEuler:
      return v1::SOLVER_EULER;
  }
  return v1::SOLVER_UNSPECIFIED;
}

v1::ImageFormat ToProto(ImageFormat format) {
  switch (format) {
    case ImageFormat::kPng:
      return v1::IMAGE_FORMAT_PNG;
    case ImageFormat::kJpeg:
      return v1::IMAGE_FORMAT_JPEG;
  }
  return v1::IMAGE_FORMAT_UNSPECIFIED;
}

v1::Model ToProto(const ModelInfo& model) {
  v1::Model proto;
  proto.set_name(model.name);
  proto.set_architecture(model.architecture);
  proto.set_dtype(model.dtype);
  proto.set_accepts_class_label(model.accepts_labels);
  proto.set_accepts_text_prompt(model.accepts_prompt);
  proto.set_max_prompt_tokens(model.max_prompt_tokens);
  for (const std::string& label : model.labels) proto.add_class_labels(label);
  *proto.mutable_default_size() = SizeToProto(model.default_size);
  for (const ImageSize& size : model.sizes) *proto.add_sizes() = SizeToProto(size);
  if (model.size_range) {
    proto.mutable_size_range()->set_min_side(model.size_range->min_side);
    proto.mutable_size_range()->set_max_side(model.size_range->max_side);
    proto.mutable_size_range()->set_multiple(model.size_range->multiple);
  }
  proto.set_default_steps(model.default_steps);
  proto.set_max_steps(model.max_steps);
  proto.set_default_guidance_scale(model.default_guidance_scale);
  proto.set_default_solver(ToProto(model.default_solver));
  for (Solver solver : model.solvers) proto.add_solvers(ToProto(solver));
  for (const FeedbackPlanInfo& plan : model.feedback_plans) {
    v1::FeedbackPlan& added = *proto.add_feedback_plans();
    added.set_steps(plan.steps);
    added.set_solver(ToProto(plan.solver));
    added.set_feedback_steps(plan.feedback_steps);
    added.set_block_evaluations(plan.block_evaluations);
    added.set_equivalent_steps(plan.equivalent_steps);
    added.set_min_guidance_scale(plan.min_guidance_scale);
    added.set_max_guidance_scale(plan.max_guidance_scale);
  }
  proto.set_block_count(model.blocks);
  return proto;
}

std::vector<v1::GenerateResponse> ToResponses(Event event, const RequestNames& names,
                                              int max_chunk_bytes) {
  return std::visit(EventConverter(names, max_chunk_bytes), event);
}

}  // namespace ilf
