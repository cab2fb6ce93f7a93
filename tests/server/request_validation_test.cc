#include "server/request_validation.h"

#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/error_details.h"
#include "tests/server/error_details_testing.h"
#include "tests/server/test_models.h"

namespace ilf {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Key;
using testing::Pair;
using testing::StartsWith;

const ServerChoices kChoices = {"picked-id", 77};

v1::GenerateRequest BagRequest() {
  v1::GenerateRequest request;
  request.mutable_class_label()->set_name("Bag");
  return request;
}

v1::GenerateRequest PromptRequest() {
  v1::GenerateRequest request;
  request.mutable_text_prompt()->set_prompt("a red bag");
  return request;
}

absl::StatusOr<GenerationRequest> Validate(const v1::GenerateRequest& request,
                                           const ModelInfo& model = ClassModel()) {
  return ValidateRequest(request, model, Limits{}, kChoices);
}

TEST(ValidateRequestTest, FillsInEveryDefaultOfTheModel) {
  const auto result = Validate(BagRequest());
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->request_id, "picked-id");
  EXPECT_EQ(result->model, "dit");
  EXPECT_EQ(std::get<ClassCondition>(result->condition).class_index, 2);
  EXPECT_EQ(result->width, 64);
  EXPECT_EQ(result->height, 64);
  EXPECT_EQ(result->steps, 20);
  EXPECT_EQ(result->guidance_scale, 4.0);
  EXPECT_EQ(result->seed, 77u);
  EXPECT_EQ(result->image_count, 1);
  EXPECT_EQ(result->solver, Solver::kDdim);
  EXPECT_EQ(result->acceleration, Acceleration::kOff);
  EXPECT_FALSE(result->preview.has_value());
  EXPECT_EQ(result->format, ImageFormat::kPng);
  EXPECT_EQ(result->priority, Priority::kNormal);
  EXPECT_EQ(result->deadline, absl::InfiniteFuture());
}

TEST(ValidateRequestTest, KeepsWhatTheClientSets) {
  v1::GenerateRequest request;
  request.set_request_id("Mine_1.2:3-4");
  request.mutable_text_prompt()->set_prompt("a bag");
  request.mutable_text_prompt()->set_negative_prompt("blue");
  request.set_width(512);
  request.set_height(512);
  request.set_steps(10);
  request.set_guidance_scale(1.0);
  request.set_seed(0);
  request.set_image_count(16);
  request.set_solver(v1::SOLVER_DDIM);
  request.set_acceleration(v1::ACCELERATION_FEEDBACK);
  request.mutable_preview()->set_every_n_steps(3);
  request.mutable_preview()->set_max_side(96);
  request.mutable_preview()->set_format(v1::IMAGE_FORMAT_JPEG);
  request.set_output_format(v1::IMAGE_FORMAT_JPEG);
  request.set_priority(v1::PRIORITY_HIGH);

  const auto result = Validate(request, TextModel());
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->request_id, "Mine_1.2:3-4");
  EXPECT_EQ(std::get<TextCondition>(result->condition).prompt, "a bag");
  EXPECT_EQ(std::get<TextCondition>(result->condition).negative_prompt, "blue");
  EXPECT_EQ(result->width, 512);
  EXPECT_EQ(result->steps, 10);
  EXPECT_EQ(result->guidance_scale, 1.0);
  EXPECT_EQ(result->seed, 0u);
  EXPECT_EQ(result->image_count, 16);
  EXPECT_EQ(result->solver, Solver::kDdim);
  EXPECT_EQ(result->acceleration, Acceleration::kFeedback);
  ASSERT_TRUE(result->preview.has_value());
  EXPECT_EQ(result->preview->every_n_steps, 3);
  EXPECT_EQ(result->preview->max_side, 96);
  EXPECT_EQ(result->preview->format, ImageFormat::kJpeg);
  EXPECT_EQ(result->format, ImageFormat::kJpeg);
  EXPECT_EQ(result->priority, Priority::kHigh);
}

TEST(ValidateRequestTest, EmptyPreviewOptionsAskForPreviewsOfEveryStep) {
  v1::GenerateRequest request = BagRequest();
  request.mutable_preview();
  const auto result = Validate(request);
  ASSERT_TRUE(result.ok()) << result.status();
  ASSERT_TRUE(result->preview.has_value());
  EXPECT_EQ(result->preview->every_n_steps, 1);
  EXPECT_EQ(result->preview->max_side, 0);
}

struct BadField {
  std::string name;
  std::string field;  // that the violation names
  std::string limit;  // that its description contains
  std::function<void(v1::GenerateRequest*)> spoil;
  bool text_model = false;
};

class BadFieldTest : public testing::TestWithParam<BadField> {};

TEST_P(BadFieldTest, IsNamedWithItsLimit) {
  const BadField& bad = GetParam();
  v1::GenerateRequest request = bad.text_model ? PromptRequest() : BagRequest();
  bad.spoil(&request);
  const auto result = Validate(request, bad.text_model ? TextModel() : ClassModel());
  ASSERT_EQ(result.status().code(), absl::StatusCode::kInvalidArgument);
  const auto violations = ViolationsOf(ToGrpcStatus(result.status()));
  ASSERT_THAT(violations, ElementsAre(Key(bad.field)));
  EXPECT_THAT(violations.at(bad.field), HasSubstr(bad.limit));
}

using R = v1::GenerateRequest;

INSTANTIATE_TEST_SUITE_P(
    EveryField, BadFieldTest,
    testing::ValuesIn(std::vector<BadField>{
        {"NoCondition", "condition", "class_label", [](R* r) { r->clear_condition(); }},
        {"LabelWithoutNameOrIndex", "class_label", "name or index",
         [](R* r) { r->mutable_class_label()->Clear(); }},
        {"LabelUnknown", "class_label.name", "no class named 'Shoe'",
         [](R* r) { r->mutable_class_label()->set_name("Shoe"); }},
        {"LabelTooLong", "class_label.name", "at most 256 bytes, has 257",
         [](R* r) { r->mutable_class_label()->set_name(std::string(257, 'x')); }},
        {"LabelIndexNegative", "class_label.index", "between 0 and 2, is -1",
         [](R* r) { r->mutable_class_label()->set_index(-1); }},
        {"LabelIndexTooLarge", "class_label.index", "between 0 and 2, is 3",
         [](R* r) { r->mutable_class_label()->set_index(3); }},
        {"PromptEmpty", "text_prompt.prompt", "required",
         [](R* r) { r->mutable_text_prompt()->set_prompt(" \n"); }, true},
        {"PromptTooLong", "text_prompt.prompt", "at most 4096 bytes, has 4097",
         [](R* r) { r->mutable_text_prompt()->set_prompt(std::string(4097, 'x')); }, true},
        {"NegativePromptTooLong", "text_prompt.negative_prompt", "at most 4096 bytes, has 5000",
         [](R* r) { r->mutable_text_prompt()->set_negative_prompt(std::string(5000, 'x')); }, true},
        {"WidthAlone", "height", "together", [](R* r) { r->set_width(64); }},
        {"HeightAlone", "width", "together", [](R* r) { r->set_height(64); }},
        {"WidthOfNoSize", "width", "one of 64x64, 128x96, is 65x64",
         [](R* r) {
           r->set_width(65);
           r->set_height(64);
         }},
        {"HeightOfNoSize", "height", "is 128x-96",
         [](R* r) {
           r->set_width(128);
           r->set_height(-96);
         }},
        {"StepsNegative", "steps", "between 1 and 1000, is -1", [](R* r) { r->set_steps(-1); }},
        {"StepsTooMany", "steps", "between 1 and 1000, is 1001", [](R* r) { r->set_steps(1001); }},
        {"GuidanceTooSmall", "guidance_scale", "between 1 and 30, is 0.5",
         [](R* r) { r->set_guidance_scale(0.5); }},
        {"GuidanceTooLarge", "guidance_scale", "between 1 and 30, is 31",
         [](R* r) { r->set_guidance_scale(31); }},
        {"GuidanceInfinite", "guidance_scale", "is inf",
         [](R* r) { r->set_guidance_scale(std::numeric_limits<double>::infinity()); }},
        {"GuidanceNan", "guidance_scale", "nan", [](R* r) { r->set_guidance_scale(std::nan("")); }},
        {"ImageCountNegative", "image_count", "between 1 and 16, is -5",
         [](R* r) { r->set_image_count(-5); }},
        {"ImageCountTooLarge", "image_count", "between 1 and 16, is 17",
         [](R* r) { r->set_image_count(17); }},
        {"SolverUnknown", "solver", "unknown value 99",
         [](R* r) { r->set_solver(static_cast<v1::Solver>(99)); }},
        {"AccelerationUnknown", "acceleration", "unknown value -1",
         [](R* r) { r->set_acceleration(static_cast<v1::Acceleration>(-1)); }},
        {"PreviewIntervalNegative", "preview.every_n_steps", "between 1 and 1000, is -1",
         [](R* r) { r->mutable_preview()->set_every_n_steps(-1); }},
        {"PreviewIntervalTooLarge", "preview.every_n_steps", "between 1 and 1000, is 1001",
         [](R* r) { r->mutable_preview()->set_every_n_steps(1001); }},
        {"PreviewSideNegative", "preview.max_side", "between 1 and 512, is -1",
         [](R* r) { r->mutable_preview()->set_max_side(-1); }},
        {"PreviewSideTooLarge", "preview.max_side", "between 1 and 512, is 513",
         [](R* r) { r->mutable_preview()->set_max_side(513); }},
        {"PreviewFormatUnknown", "preview.format", "unknown value 9",
         [](R* r) { r->mutable_preview()->set_format(static_cast<v1::ImageFormat>(9)); }},
        {"OutputFormatUnknown", "output_format", "unknown value 9",
         [](R* r) { r->set_output_format(static_cast<v1::ImageFormat>(9)); }},
        {"PriorityUnknown", "priority", "unknown value 12",
         [](R* r) { r->set_priority(static_cast<v1::Priority>(12)); }},
        {"RequestIdTooLong", "request_id", "at most 128 characters, has 129",
         [](R* r) { r->set_request_id(std::string(129, 'x')); }},
        {"RequestIdWithSpace", "request_id", "A-Z a-z 0-9 . _ : -",
         [](R* r) { r->set_request_id("a b"); }},
        {"RequestIdWithNewline", "request_id", "is 'a\\nb'",
         [](R* r) { r->set_request_id("a\nb"); }},
    }),
    [](const auto& info) { return info.param.name; });

TEST(ValidateRequestTest, NamesWidthAndHeightWhenOnlyThePairIsWrong) {
  v1::GenerateRequest request = BagRequest();
  request.set_width(128);
  request.set_height(64);
  EXPECT_THAT(ViolationsOf(ToGrpcStatus(Validate(request).status())),
              ElementsAre(Key("height"), Key("width")));
}

TEST(ValidateRequestTest, NamesEveryViolatedFieldAtOnce) {
  v1::GenerateRequest request;
  request.set_request_id("no spaces please");
  request.mutable_class_label()->set_index(10);
  request.set_width(1);
  request.set_height(1);
  request.set_steps(-1);
  request.set_guidance_scale(1000);
  request.set_image_count(1000);
  request.set_solver(static_cast<v1::Solver>(9));
  request.set_acceleration(static_cast<v1::Acceleration>(9));
  request.mutable_preview()->set_every_n_steps(-1);
  request.mutable_preview()->set_max_side(-1);
  request.mutable_preview()->set_format(static_cast<v1::ImageFormat>(9));
  request.set_output_format(static_cast<v1::ImageFormat>(9));
  request.set_priority(static_cast<v1::Priority>(9));
  const grpc::Status status = ToGrpcStatus(Validate(request).status());
  EXPECT_THAT(
      ViolationsOf(status),
      ElementsAre(Key("acceleration"), Key("class_label.index"), Key("guidance_scale"),
                  Key("height"), Key("image_count"), Key("output_format"),
                  Key("preview.every_n_steps"), Key("preview.format"), Key("preview.max_side"),
                  Key("priority"), Key("request_id"), Key("solver"), Key("steps"), Key("width")));
  // Clients accept 8 KiB of metadata by default; the details are base64 there.
  EXPECT_LT(status.error_message().size() + status.error_details().size() * 4 / 3, 7000u);
}

TEST(ValidateRequestTest, TakesALabelByIndexNameOrSynonym) {
  v1::GenerateRequest request;
  request.mutable_class_label()->set_index(0);
  EXPECT_EQ(std::get<ClassCondition>(Validate(request)->condition).class_index, 0);
  request.mutable_class_label()->set_name("TROUSERS");
  EXPECT_EQ(std::get<ClassCondition>(Validate(request)->condition).class_index, 1);
}

struct Refusal {
  std::string name;
  std::string field;
  std::string reason;
  ModelInfo model;
  v1::GenerateRequest request;
};

class RefusalTest : public testing::TestWithParam<Refusal> {};

TEST_P(RefusalTest, IsAFailedPreconditionThatNamesTheFieldAndTheModel) {
  const Refusal& refusal = GetParam();
  const auto result = Validate(refusal.request, refusal.model);
  ASSERT_EQ(result.status().code(), absl::StatusCode::kFailedPrecondition) << result.status();
  EXPECT_THAT(std::string(result.status().message()), StartsWith(refusal.field + ": "));
  EXPECT_THAT(std::string(result.status().message()), HasSubstr(refusal.model.name));
  const auto info = DetailOf<google::rpc::ErrorInfo>(ToGrpcStatus(result.status()));
  ASSERT_TRUE(info.has_value());
  EXPECT_EQ(info->reason(), refusal.reason);
  EXPECT_EQ(info->domain(), "ilf.v1");
  EXPECT_EQ(info->metadata().at("model"), refusal.model.name);
  EXPECT_EQ(info->metadata().at("field"), refusal.field);
}

Refusal WithSolver() {
  Refusal refusal{"Solver", "solver", "SOLVER_NOT_SUPPORTED", ClassModel(), BagRequest()};
  refusal.request.set_solver(v1::SOLVER_DPM_SOLVER_PP_2M);
  return refusal;
}

Refusal WithFeedback() {
  Refusal refusal{"Feedback", "acceleration", "FEEDBACK_NOT_SUPPORTED", ClassModel(), BagRequest()};
  refusal.request.set_acceleration(v1::ACCELERATION_FEEDBACK);
  return refusal;
}

Refusal WithFeedbackForOtherSteps() {
  Refusal refusal{"FeedbackSteps", "acceleration", "FEEDBACK_PLAN_NOT_FOUND", TextModel(),
                  PromptRequest()};
  refusal.request.set_acceleration(v1::ACCELERATION_FEEDBACK);
  refusal.request.set_steps(11);
  return refusal;
}

Refusal WithFeedbackForAnotherSolver() {
  Refusal refusal = WithFeedbackForOtherSteps();
  refusal.name = "FeedbackSolver";
  refusal.request.set_steps(10);
  refusal.request.set_solver(v1::SOLVER_DPM_SOLVER_PP_2M);
  return refusal;
}

INSTANTIATE_TEST_SUITE_P(
    WhatAModelCannotDo, RefusalTest,
    testing::Values(Refusal{"Prompt", "text_prompt", "TEXT_PROMPT_NOT_SUPPORTED", ClassModel(),
                            PromptRequest()},
                    Refusal{"ClassLabel", "class_label", "CLASS_LABEL_NOT_SUPPORTED", TextModel(),
                            BagRequest()},
                    WithSolver(), WithFeedback(), WithFeedbackForOtherSteps(),
                    WithFeedbackForAnotherSolver()),
    [](const auto& info) { return info.param.name; });

// What the text model runs for steps (0: unset), guidance and acceleration.
GenerationRequest Resolved(int steps, double guidance, v1::Acceleration acceleration) {
  v1::GenerateRequest request = PromptRequest();
  request.set_steps(steps);
  request.set_guidance_scale(guidance);
  request.set_acceleration(acceleration);
  const auto result = Validate(request, TextModel());
  EXPECT_TRUE(result.ok()) << result.status();
  return result.value_or(GenerationRequest());
}

TEST(FeedbackPlanTest, AutoTakesThePlanOfTheStepCountWithItsSolver) {
  for (const auto acceleration : {v1::ACCELERATION_UNSPECIFIED, v1::ACCELERATION_AUTO}) {
    const GenerationRequest request = Resolved(10, 4.0, acceleration);
    EXPECT_EQ(request.acceleration, Acceleration::kFeedback);
    EXPECT_EQ(request.solver, Solver::kDdim);
    EXPECT_EQ(request.steps, 10);
  }
}

TEST(FeedbackPlanTest, AutoRunsPlainWhereThereIsNoPlanForTheSteps) {
  EXPECT_EQ(Resolved(11, 4.0, v1::ACCELERATION_AUTO).acceleration, Acceleration::kOff);
  EXPECT_EQ(Resolved(0, 4.0, v1::ACCELERATION_AUTO).acceleration, Acceleration::kOff);
}

TEST(FeedbackPlanTest, AutoKeepsToTheGuidanceThatThePlanWasMeasuredWith) {
  EXPECT_EQ(Resolved(10, 2.0, v1::ACCELERATION_AUTO).acceleration, Acceleration::kFeedback);
  EXPECT_EQ(Resolved(10, 6.0, v1::ACCELERATION_AUTO).acceleration, Acceleration::kFeedback);
  EXPECT_EQ(Resolved(10, 1.9, v1::ACCELERATION_AUTO).acceleration, Acceleration::kOff);
  EXPECT_EQ(Resolved(10, 6.1, v1::ACCELERATION_AUTO).acceleration, Acceleration::kOff);
}

TEST(FeedbackPlanTest, OffRunsPlainEvenWhereThereIsAPlan) {
  const GenerationRequest request = Resolved(10, 4.0, v1::ACCELERATION_OFF);
  EXPECT_EQ(request.acceleration, Acceleration::kOff);
  EXPECT_EQ(request.solver, Solver::kDpmSolverPp2m);
}

TEST(FeedbackPlanTest, FeedbackWithoutStepsTakesTheFirstPlan) {
  const GenerationRequest request = Resolved(0, 4.0, v1::ACCELERATION_FEEDBACK);
  EXPECT_EQ(request.steps, 10);
  EXPECT_EQ(request.acceleration, Acceleration::kFeedback);
}

TEST(FeedbackPlanTest, FeedbackWithoutStepsTakesTheFirstPlanOfTheSolverThatIsNamed) {
  v1::GenerateRequest request = PromptRequest();
  request.set_acceleration(v1::ACCELERATION_FEEDBACK);
  request.set_solver(v1::SOLVER_DPM_SOLVER_PP_2M);
  const auto result = Validate(request, TextModel());
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->steps, 7);
  EXPECT_EQ(result->solver, Solver::kDpmSolverPp2m);
}

TEST(FeedbackPlanTest, FeedbackIsHonouredAtAnyGuidance) {
  EXPECT_EQ(Resolved(10, 1.0, v1::ACCELERATION_FEEDBACK).acceleration, Acceleration::kFeedback);
}

TEST(ValidateRequestTest, ABrokenLimitGoesBeforeWhatTheModelCannotDo) {
  v1::GenerateRequest request = PromptRequest();
  request.set_steps(-1);
  const auto result = Validate(request, ClassModel());
  EXPECT_EQ(result.status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(FindModelTest, TakesTheOnlyModelWhereNoneIsNamed) {
  const std::vector<ModelInfo> models = {ClassModel()};
  const auto model = FindModel(models, "", "model");
  ASSERT_TRUE(model.ok());
  EXPECT_EQ((*model)->name, "dit");
}

TEST(FindModelTest, NeedsANameWhereThereAreSeveral) {
  const std::vector<ModelInfo> models = {ClassModel(), TextModel()};
  const auto model = FindModel(models, "", "model");
  ASSERT_EQ(model.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ViolationsOf(ToGrpcStatus(model.status())).at("model"),
            "required: one of 'dit', 'pixart'");
}

TEST(ChooseModelTest, TakesTheOnlyModelThatTakesWhatTheRequestGives) {
  const std::vector<ModelInfo> models = {ClassModel(), TextModel()};
  v1::GenerateRequest label = BagRequest(), prompt = PromptRequest();
  label.clear_model();
  prompt.clear_model();
  EXPECT_EQ(ChooseModel(models, label).value(), &models[0]);
  EXPECT_EQ(ChooseModel(models, prompt).value(), &models[1]);
  prompt.set_model("dit");  // which then says what it does not do
  EXPECT_EQ(ChooseModel(models, prompt).value(), &models[0]);
  EXPECT_EQ(ChooseModel({&models[0], 1}, prompt).value(), &models[0]);
}

TEST(ChooseModelTest, NeedsANameWhereSeveralWouldDo) {
  const std::vector<ModelInfo> models = {ClassModel(), TextModel(), TextModel()};
  v1::GenerateRequest request = PromptRequest();
  request.clear_model();
  EXPECT_EQ(ViolationsOf(ToGrpcStatus(ChooseModel(models, request).status())).at("model"),
            "required: one of 'pixart', 'pixart'");
  EXPECT_EQ(
      ViolationsOf(ToGrpcStatus(ChooseModel(models, v1::GenerateRequest()).status())).at("model"),
      "required: one of 'dit', 'pixart', 'pixart'");
}

TEST(FindModelTest, AnUnknownNameIsNotFoundAndEscaped) {
  const std::vector<ModelInfo> models = {ClassModel(), TextModel()};
  const auto model = FindModel(models, "nope\n" + std::string(1000, 'x'), "model");
  ASSERT_EQ(model.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(model.status().message()), HasSubstr("'nope\\nxxx"));
  EXPECT_THAT(std::string(model.status().message()), HasSubstr("'dit', 'pixart'"));
  EXPECT_LT(model.status().message().size(), 200u);
}

TEST(DrawServerChoicesTest, DrawsAnotherSeedAndAnotherValidIdEachTime) {
  const ServerChoices first = DrawServerChoices();
  const ServerChoices second = DrawServerChoices();
  EXPECT_NE(first.request_id, second.request_id);
  EXPECT_NE(first.seed, second.seed);
  v1::GenerateRequest request = BagRequest();
  request.set_request_id(first.request_id);
  EXPECT_TRUE(Validate(request).ok());
}

TEST(ValidateRequestTest, AModelWithASizeRangeTakesAnySizeWithinIt) {
  ModelInfo model = TextModel();
  model.size_range = SizeRange{.min_side = 64, .max_side = 512, .multiple = 8};
  v1::GenerateRequest request = PromptRequest();
  request.set_width(504);
  request.set_height(72);
  const auto result = Validate(request, model);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->width, 504);
  EXPECT_EQ(result->height, 72);

  request.set_width(70);
  request.set_height(520);
  EXPECT_THAT(ViolationsOf(ToGrpcStatus(Validate(request, model).status())),
              ElementsAre(Pair("height", HasSubstr("multiple of 8 between 64 and 512, is 520")),
                          Pair("width", HasSubstr("is 70"))));
}

}  // namespace
}  // namespace ilf
