#include "server/request_validation.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <optional>
#include <utility>
#include <vector>

#include "absl/random/random.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "server/conversion.h"
#include "server/error_details.h"

namespace ilf {
namespace {

constexpr int kMaxNamesInMessage = 8;

bool IsRequestIdCharacter(char c) {
  return absl::ascii_isalnum(c) || c == '.' || c == '_' || c == ':' || c == '-';
}

// At most kMaxNamesInMessage of `items`, since a gRPC status must fit into 8 KiB.
template <typename Items, typename Formatter>
std::string List(const Items& items, Formatter formatter) {
  const size_t shown = std::min<size_t>(items.size(), kMaxNamesInMessage);
  std::string text =
      absl::StrJoin(items.begin(), items.begin() + static_cast<ptrdiff_t>(shown), ", ", formatter);
  if (shown < items.size()) absl::StrAppend(&text, ", ... (", items.size(), " in all)");
  return text;
}

// Fills `result` field by field and notes what is wrong on the way.
class Validator {
 public:
  Validator(const v1::GenerateRequest& request, const ModelInfo& model, const Limits& limits)
      : request_(request), model_(model), limits_(limits) {}

  absl::StatusOr<GenerationRequest> Run(const ServerChoices& choices) {
    result_.model = model_.name;
    CheckRequestId(choices.request_id);
    CheckCondition();
    CheckSize();
    CheckGuidanceScale();
    result_.seed = request_.has_seed() ? request_.seed() : choices.seed;
    result_.image_count = IntOr("image_count", request_.image_count(), limits_.max_image_count, 1);
    CheckSolver();
    CheckStepsAndAcceleration();
    CheckPreview();
    result_.format = EnumOr("output_format", request_.output_format(), v1::ImageFormat_IsValid,
                            ImageFormat::kPng);
    result_.priority =
        EnumOr("priority", request_.priority(), v1::Priority_IsValid, Priority::kNormal);
    if (!violations_.empty()) return InvalidFields(violations_);
    if (!refusal_.ok()) return refusal_;
    return std::move(result_);
  }

 private:
  void Violation(absl::string_view field, std::string description) {
    violations_.push_back({std::string(field), std::move(description)});
  }

  // The model cannot do what `field` asks for. The first one is reported.
  void Refuse(absl::string_view field, absl::string_view reason, absl::string_view what) {
    if (!refusal_.ok()) return;
    refusal_ = ErrorWithInfo(absl::StatusCode::kFailedPrecondition,
                             absl::StrCat(field, ": model '", model_.name, "' ", what), reason,
                             {{"model", model_.name}, {"field", std::string(field)}});
  }

  // A number in [1, max], where 0 stands for `fallback`.
  int IntOr(absl::string_view field, int value, int max, int fallback) {
    if (value == 0) return fallback;
    if (value < 1 || value > max) {
      Violation(field, absl::StrCat("must lie between 1 and ", max, ", is ", value));
    }
    return value;
  }

  template <typename ProtoEnum, typename IsValid, typename T>
  T EnumOr(absl::string_view field, ProtoEnum value, IsValid is_valid, T fallback) {
    if (!is_valid(value)) {
      Violation(field, absl::StrCat("unknown value ", static_cast<int>(value)));
    }
    return FromProto(value).value_or(fallback);
  }

  void CheckRequestId(const std::string& fallback) {
    const std::string& id = request_.request_id();
    result_.request_id = id.empty() ? fallback : id;
    if (static_cast<int>(id.size()) > limits_.max_request_id_bytes) {
      Violation("request_id", absl::StrCat("must have at most ", limits_.max_request_id_bytes,
                                           " characters, has ", id.size()));
    } else if (!std::all_of(id.begin(), id.end(), IsRequestIdCharacter)) {
      Violation("request_id", absl::StrCat("must consist of A-Z a-z 0-9 . _ : -, is ", Quoted(id)));
    }
  }

  void CheckCondition() {
    switch (request_.condition_case()) {
      case v1::GenerateRequest::kClassLabel:
        if (!model_.accepts_labels) {
          Refuse("class_label", "CLASS_LABEL_NOT_SUPPORTED",
                 "takes a text_prompt, not a class_label");
        }
        CheckClassLabel(request_.class_label());
        return;
      case v1::GenerateRequest::kTextPrompt:
        if (!model_.accepts_prompt) {
          Refuse("text_prompt", "TEXT_PROMPT_NOT_SUPPORTED",
                 "takes a class_label, not a text_prompt");
        }
        CheckTextPrompt(request_.text_prompt());
        return;
      case v1::GenerateRequest::CONDITION_NOT_SET:
        Violation("condition", absl::StrCat("required: ",
                                            model_.accepts_labels ? "class_label" : "text_prompt"));
        return;
    }
  }

  void CheckClassLabel(const v1::ClassLabel& label) {
    const int classes = static_cast<int>(model_.labels.size());
    switch (label.label_case()) {
      case v1::ClassLabel::kIndex:
        result_.condition = ClassCondition{label.index()};
        if (model_.accepts_labels && (label.index() < 0 || label.index() >= classes)) {
          Violation("class_label.index",
                    absl::StrCat("must lie between 0 and ", classes - 1, ", is ", label.index()));
        }
        return;
      case v1::ClassLabel::kName:
        CheckClassName(label.name());
        return;
      case v1::ClassLabel::LABEL_NOT_SET:
        Violation("class_label", "required: name or index");
        return;
    }
  }

  void CheckClassName(const std::string& name) {
    if (static_cast<int>(name.size()) > limits_.max_label_bytes) {
      Violation("class_label.name", absl::StrCat("must have at most ", limits_.max_label_bytes,
                                                 " bytes, has ", name.size()));
      return;
    }
    if (!model_.accepts_labels) return;
    const absl::StatusOr<int> index = FindLabel(model_, name);
    if (!index.ok()) {
      Violation("class_label.name", std::string(index.status().message()));
      return;
    }
    result_.condition = ClassCondition{*index};
  }

  void CheckTextPrompt(const v1::TextPrompt& text) {
    if (absl::StripAsciiWhitespace(text.prompt()).empty()) {
      Violation("text_prompt.prompt", "required");
    }
    CheckBytes("text_prompt.prompt", text.prompt(), limits_.max_prompt_bytes);
    CheckBytes("text_prompt.negative_prompt", text.negative_prompt(), limits_.max_prompt_bytes);
    result_.condition = TextCondition{text.prompt(), text.negative_prompt()};
  }

  void CheckBytes(absl::string_view field, const std::string& text, int max) {
    if (static_cast<int>(text.size()) <= max) return;
    Violation(field, absl::StrCat("must have at most ", max, " bytes, has ", text.size()));
  }

  void CheckSize() {
    const int width = request_.width();
    const int height = request_.height();
    result_.width = width == 0 ? model_.default_size.width : width;
    result_.height = height == 0 ? model_.default_size.height : height;
    if (width == 0 && height == 0) return;
    if (width == 0 || height == 0) {
      Violation(width == 0 ? "width" : "height", "width and height must be set together");
      return;
    }
    if (model_.size_range) {
      CheckSide("width", width, *model_.size_range);
      CheckSide("height", height, *model_.size_range);
      return;
    }
    const auto same = [&](const ImageSize& size) {
      return size.width == width && size.height == height;
    };
    if (std::any_of(model_.sizes.begin(), model_.sizes.end(), same)) return;
    const auto format = [](std::string* out, const ImageSize& size) {
      absl::StrAppend(out, size.width, "x", size.height);
    };
    const std::string description = absl::StrCat(
        "width x height must be one of ", List(model_.sizes, format), ", is ", width, "x", height);
    const auto has_width = [&](const ImageSize& size) { return size.width == width; };
    const auto has_height = [&](const ImageSize& size) { return size.height == height; };
    const bool bad_width = std::none_of(model_.sizes.begin(), model_.sizes.end(), has_width);
    const bool bad_height = std::none_of(model_.sizes.begin(), model_.sizes.end(), has_height);
    if (bad_width || !bad_height) Violation("width", description);
    if (bad_height || !bad_width) Violation("height", description);
  }

  void CheckSide(absl::string_view field, int side, const SizeRange& range) {
    if (side >= range.min_side && side <= range.max_side && side % range.multiple == 0) return;
    Violation(field, absl::StrCat("must be a multiple of ", range.multiple, " between ",
                                  range.min_side, " and ", range.max_side, ", is ", side));
  }

  void CheckGuidanceScale() {
    if (!request_.has_guidance_scale()) {
      result_.guidance_scale = model_.default_guidance_scale;
      return;
    }
    const double scale = request_.guidance_scale();
    result_.guidance_scale = scale;
    if (scale >= limits_.min_guidance_scale && scale <= limits_.max_guidance_scale) return;
    Violation("guidance_scale",
              absl::StrFormat("must lie between %g and %g, is %g", limits_.min_guidance_scale,
                              limits_.max_guidance_scale, scale));
  }

  void CheckSolver() {
    result_.solver = EnumOr("solver", request_.solver(), v1::Solver_IsValid, model_.default_solver);
    if (std::count(model_.solvers.begin(), model_.solvers.end(), result_.solver) > 0) return;
    Refuse("solver", "SOLVER_NOT_SUPPORTED",
           absl::StrCat("does not run with solver ", SolverName(result_.solver)));
  }

  // Which plan runs: the model's feedback plan for the steps and the solver where there is one and
  // the caller agrees, else a plain one.
  void CheckStepsAndAcceleration() {
    const v1::Acceleration wanted = request_.acceleration();
    if (!v1::Acceleration_IsValid(wanted)) {
      Violation("acceleration", absl::StrCat("unknown value ", static_cast<int>(wanted)));
    }
    const bool required = wanted == v1::ACCELERATION_FEEDBACK;
    const bool any_solver = request_.solver() == v1::SOLVER_UNSPECIFIED;
    const auto first = std::find_if(
        model_.feedback_plans.begin(), model_.feedback_plans.end(),
        [&](const FeedbackPlanInfo& plan) { return any_solver || plan.solver == result_.solver; });
    const int default_steps =
        required && first != model_.feedback_plans.end() ? first->steps : model_.default_steps;
    result_.steps = IntOr("steps", request_.steps(), model_.max_steps, default_steps);
    if (wanted == v1::ACCELERATION_OFF) return;

    const FeedbackPlanInfo* plan = FindFeedbackPlan(
        model_, result_.steps, any_solver ? std::nullopt : std::optional(result_.solver),
        result_.guidance_scale);
    if (plan != nullptr && (required || plan->Covers(result_.guidance_scale))) {
      result_.acceleration = Acceleration::kFeedback;
      result_.solver = plan->solver;
    } else if (required) {
      RefuseFeedback();
    }
  }

  void RefuseFeedback() {
    if (model_.feedback_plans.empty()) {
      Refuse("acceleration", "FEEDBACK_NOT_SUPPORTED", "has no feedback module");
      return;
    }
    const auto format = [](std::string* out, const FeedbackPlanInfo& plan) {
      absl::StrAppend(out, plan.steps, " steps with ", SolverName(plan.solver));
    };
    Refuse("acceleration", "FEEDBACK_PLAN_NOT_FOUND",
           absl::StrCat("has feedback plans for ", List(model_.feedback_plans, format),
                        ", not for ", result_.steps, " steps with ", SolverName(result_.solver)));
  }

  void CheckPreview() {
    if (!request_.has_preview()) return;
    const v1::PreviewOptions& preview = request_.preview();
    PreviewOptions& result = result_.preview.emplace();
    result.every_n_steps =
        IntOr("preview.every_n_steps", preview.every_n_steps(), limits_.max_preview_interval, 1);
    result.max_side = IntOr("preview.max_side", preview.max_side(), limits_.max_preview_side, 0);
    result.format =
        EnumOr("preview.format", preview.format(), v1::ImageFormat_IsValid, ImageFormat::kPng);
  }

  const v1::GenerateRequest& request_;
  const ModelInfo& model_;
  const Limits& limits_;
  GenerationRequest result_;
  std::vector<FieldViolation> violations_;
  absl::Status refusal_;
};

}  // namespace

ServerChoices DrawServerChoices() {
  absl::BitGen random;
  ServerChoices choices;
  choices.seed = absl::Uniform<uint64_t>(random);
  choices.request_id = absl::StrFormat("%016x", absl::Uniform<uint64_t>(random));
  return choices;
}

absl::StatusOr<const ModelInfo*> FindModel(absl::Span<const ModelInfo> models,
                                           const std::string& name, const std::string& field) {
  const auto format = [](std::string* out, const ModelInfo& model) {
    absl::StrAppend(out, "'", model.name, "'");
  };
  if (name.empty()) {
    if (models.size() == 1) return &models.front();
    return InvalidFields({{field, absl::StrCat("required: one of ", List(models, format))}});
  }
  for (const ModelInfo& model : models) {
    if (model.name == name) return &model;
  }
  return absl::NotFoundError(
      absl::StrCat("no model ", Quoted(name), "; there are: ", List(models, format)));
}

absl::StatusOr<const ModelInfo*> ChooseModel(absl::Span<const ModelInfo> models,
                                             const v1::GenerateRequest& request) {
  if (!request.model().empty()) return FindModel(models, request.model(), "model");
  const auto takes_it = [&](const ModelInfo& model) {
    if (request.has_class_label()) return model.accepts_labels;
    return !request.has_text_prompt() || model.accepts_prompt;
  };
  const auto count = std::count_if(models.begin(), models.end(), takes_it);
  if (count == 0) return FindModel(models, "", "model");
  if (count == 1) return &*std::find_if(models.begin(), models.end(), takes_it);
  std::vector<ModelInfo> candidates;  // copies, for the error's text
  std::copy_if(models.begin(), models.end(), std::back_inserter(candidates), takes_it);
  return FindModel(candidates, "", "model").status();
}

absl::StatusOr<GenerationRequest> ValidateRequest(const v1::GenerateRequest& request,
                                                  const ModelInfo& model, const Limits& limits,
                                                  const ServerChoices& choices) {
  return Validator(request, model, limits).Run(choices);
}

}  // namespace ilf
