// Inner Loop Feedback on the shipped model, as clients see it. Its plans are of 4 to 7 steps, all
// but the first with feedback; what they look like is measured elsewhere.
#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "gmock/gmock.h"
#include "google/rpc/error_details.pb.h"
#include "gtest/gtest.h"
#include "tests/integration/child_process.h"
#include "tests/integration/requests.h"
#include "tests/integration/serving_test.h"
#include "tests/server/error_details_testing.h"
#include "tests/testing/temp_path.h"

namespace ilf {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::Pair;
using testing::UnorderedElementsAre;

constexpr int kPlainBlocks = 28;  // of one row in one step
constexpr int kExtraBlocks = 4;   // in a feedback step: three once more, and the module's own

// Of one row under the plan of so many steps.
int FeedbackSteps(int steps) { return steps - 1; }
int FeedbackBlocks(int steps) { return steps * kPlainBlocks + FeedbackSteps(steps) * kExtraBlocks; }

v1::ImageEvent OnlyImage(const Outcome& outcome) {
  EXPECT_TRUE(outcome.status.ok()) << outcome.status.error_message();
  for (const v1::GenerateResponse& event : outcome.events) {
    if (event.has_image()) return event.image();
  }
  ADD_FAILURE() << "no image";
  return {};
}

class AccelerationTest : public ServingTest {
 protected:
  v1::Model Model() { return ModelNamed(client_, "fashion-dit"); }

  // Plain steps that stand for the plan of so many steps.
  int EquivalentSteps(int steps) {
    const v1::Model model = Model();
    for (const v1::FeedbackPlan& plan : model.feedback_plans()) {
      if (plan.steps() == steps) return plan.equivalent_steps();
    }
    ADD_FAILURE() << "no plan of " << steps << " steps";
    return 0;
  }

  // Transformer blocks that the plan of so many steps saves, for each row of an image.
  int64_t SavedBlocks(int steps) {
    return std::max(0, EquivalentSteps(steps) * kPlainBlocks - FeedbackBlocks(steps));
  }

  void ExpectFeedback(const v1::ImageEvent& image, int steps, int rows) {
    EXPECT_EQ(image.steps(), steps);
    EXPECT_EQ(image.feedback_steps(), FeedbackSteps(steps));
    EXPECT_EQ(image.block_evaluations(), rows * FeedbackBlocks(steps));
    EXPECT_EQ(image.plain_block_evaluations(), EquivalentSteps(steps) * rows * kPlainBlocks);
  }

  void ExpectPlain(const v1::ImageEvent& image, int steps, int rows) {
    EXPECT_EQ(image.steps(), steps);
    EXPECT_EQ(image.feedback_steps(), 0);
    EXPECT_EQ(image.block_evaluations(), steps * rows * kPlainBlocks);
    EXPECT_EQ(image.plain_block_evaluations(), image.block_evaluations());
  }
};

TEST_F(AccelerationTest, ListModelsNamesThePlans) {
  Start();
  const v1::Model model = Model();
  EXPECT_EQ(model.block_count(), kPlainBlocks);
  std::vector<int> steps;
  for (const v1::FeedbackPlan& plan : model.feedback_plans()) {
    steps.push_back(plan.steps());
    EXPECT_EQ(plan.solver(), v1::SOLVER_DPM_SOLVER_PP_2M);
    EXPECT_EQ(plan.feedback_steps(), FeedbackSteps(plan.steps()));
    EXPECT_EQ(plan.block_evaluations(), FeedbackBlocks(plan.steps()));
    EXPECT_GT(plan.equivalent_steps(), 0);
    EXPECT_EQ(plan.min_guidance_scale(), 1.0);
    EXPECT_EQ(plan.max_guidance_scale(), 2.5);
  }
  EXPECT_THAT(steps, UnorderedElementsAre(4, 5, 6, 7));
}

struct AutoCase {
  int steps;
  double guidance_scale;
  v1::Solver solver;
  bool feedback;
};

TEST_F(AccelerationTest, AutoTakesThePlanWhereThereIsOneAndElseRunsPlain) {
  Start();
  const AutoCase cases[] = {
      {4, 2.0, v1::SOLVER_UNSPECIFIED, true},      {5, 1.0, v1::SOLVER_UNSPECIFIED, true},
      {5, 2.5, v1::SOLVER_DPM_SOLVER_PP_2M, true}, {8, 2.0, v1::SOLVER_UNSPECIFIED, false},
      {4, 2.75, v1::SOLVER_UNSPECIFIED, false},    {5, 2.0, v1::SOLVER_DDIM, false},
  };
  for (const AutoCase& c : cases) {
    v1::GenerateRequest request = BagRequest(c.steps, c.guidance_scale, v1::ACCELERATION_AUTO);
    request.set_solver(c.solver);
    SCOPED_TRACE(request.ShortDebugString());
    const v1::ImageEvent image = OnlyImage(Generate(client_, request));
    const int rows = c.guidance_scale == 1.0 ? 1 : 2;
    if (c.feedback) {
      ExpectFeedback(image, c.steps, rows);
    } else {
      ExpectPlain(image, c.steps, rows);
    }
    request.clear_acceleration();
    EXPECT_EQ(OnlyImage(Generate(client_, request)).data(), image.data());
    request.set_acceleration(c.feedback ? v1::ACCELERATION_FEEDBACK : v1::ACCELERATION_OFF);
    EXPECT_EQ(OnlyImage(Generate(client_, request)).data(), image.data());
  }
}

TEST_F(AccelerationTest, OffRunsPlainWhereThereIsAPlan) {
  Start();
  for (const int steps : {4, 5}) {
    ExpectPlain(OnlyImage(Generate(client_, BagRequest(steps, 1.0, v1::ACCELERATION_OFF))), steps,
                /*rows=*/1);
    ExpectPlain(OnlyImage(Generate(client_, BagRequest(steps, 2.0, v1::ACCELERATION_OFF))), steps,
                /*rows=*/2);
  }
}

TEST_F(AccelerationTest, FeedbackTakesThePlanAtAnyGuidance) {
  Start();
  for (const int steps : {4, 5}) {
    ExpectFeedback(OnlyImage(Generate(client_, BagRequest(steps, 1.0, v1::ACCELERATION_FEEDBACK))),
                   steps, /*rows=*/1);
    ExpectFeedback(OnlyImage(Generate(client_, BagRequest(steps, 2.0, v1::ACCELERATION_FEEDBACK))),
                   steps, /*rows=*/2);
    ExpectFeedback(OnlyImage(Generate(client_, BagRequest(steps, 7.5, v1::ACCELERATION_FEEDBACK))),
                   steps, /*rows=*/2);
  }
}

TEST_F(AccelerationTest, FeedbackWithoutStepsTakesTheFirstPlan) {
  Start();
  const v1::Model model = Model();
  ASSERT_GT(model.feedback_plans_size(), 0);
  ExpectFeedback(OnlyImage(Generate(client_, BagRequest(0, 1.0, v1::ACCELERATION_FEEDBACK))),
                 model.feedback_plans(0).steps(), /*rows=*/1);
  ExpectPlain(OnlyImage(Generate(client_, BagRequest(0, 1.0, v1::ACCELERATION_AUTO))),
              model.default_steps(), /*rows=*/1);
}

TEST_F(AccelerationTest, FeedbackWithoutAPlanIsRefusedWithThePlansThatExist) {
  Start();
  const v1::GenerateRequest other_steps = BagRequest(8, 2.0, v1::ACCELERATION_FEEDBACK);
  v1::GenerateRequest other_solver = BagRequest(5, 2.0, v1::ACCELERATION_FEEDBACK);
  other_solver.set_solver(v1::SOLVER_DDIM);
  const std::vector<std::pair<v1::GenerateRequest, std::string>> refused = {
      {other_steps, "not for 8 steps with dpmsolver++"},
      {other_solver, "not for 5 steps with ddim"}};
  for (const auto& [request, reason] : refused) {
    const Outcome outcome = Generate(client_, request);
    EXPECT_EQ(outcome.status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
    EXPECT_THAT(outcome.status.error_message(), HasSubstr("4 steps with dpmsolver++"));
    EXPECT_THAT(outcome.status.error_message(), HasSubstr("5 steps with dpmsolver++"));
    EXPECT_THAT(outcome.status.error_message(), HasSubstr(reason));
    const auto info = DetailOf<google::rpc::ErrorInfo>(outcome.status);
    ASSERT_TRUE(info.has_value());
    EXPECT_EQ(info->reason(), "FEEDBACK_PLAN_NOT_FOUND");
    EXPECT_THAT(info->metadata(), Contains(Pair("field", "acceleration")));
    EXPECT_TRUE(outcome.events.empty());
  }
}

// What every stream of a request of `steps` steps and two images holds, with feedback or without.
void ExpectEventsInOrder(const Outcome& outcome, int steps, int every_n_steps) {
  ASSERT_TRUE(outcome.status.ok()) << outcome.status.error_message();
  ASSERT_GE(outcome.events.size(), 3u);
  EXPECT_TRUE(outcome.events[0].has_queued());
  EXPECT_TRUE(outcome.events[1].has_started());
  EXPECT_TRUE(outcome.events.back().has_completed());
  EXPECT_EQ(outcome.events.back().completed().image_count(), 2);
  std::map<int, int> last_step, last_preview, images;
  for (const v1::GenerateResponse& event : outcome.events) {
    if (event.has_step()) {
      int& last = last_step[event.step().image_index()];
      EXPECT_GT(event.step().step(), last);
      EXPECT_EQ(event.step().steps(), steps);
      last = event.step().step();
    }
    if (event.has_preview()) {
      const v1::PreviewEvent& preview = event.preview();
      EXPECT_EQ(images.count(preview.image_index()), 0u) << "a preview of an image that is there";
      EXPECT_GT(preview.step(), last_preview[preview.image_index()]);
      EXPECT_LE(preview.step(), last_step[preview.image_index()]);
      EXPECT_EQ(preview.step() % every_n_steps, 0);
      EXPECT_LT(preview.step(), steps);
      EXPECT_EQ(preview.steps(), steps);
      EXPECT_EQ(std::max(preview.width(), preview.height()), 16);
      last_preview[preview.image_index()] = preview.step();
    }
    if (event.has_image()) {
      const v1::ImageEvent& image = event.image();
      EXPECT_EQ(last_step[image.image_index()], steps);
      EXPECT_EQ(image.seed(), 1234u + image.image_index());
      EXPECT_EQ(image.steps(), steps);
      EXPECT_EQ(image.width(), 32);
      EXPECT_EQ(image.height(), 32);
      ++images[image.image_index()];
    }
  }
  EXPECT_THAT(images, UnorderedElementsAre(Pair(0, 1), Pair(1, 1)));
}

TEST_F(AccelerationTest, EventsAndPreviewsComeAsInAPlainRequest) {
  Start();
  for (const v1::Acceleration acceleration : {v1::ACCELERATION_OFF, v1::ACCELERATION_FEEDBACK}) {
    SCOPED_TRACE(v1::Acceleration_Name(acceleration));
    v1::GenerateRequest request = BagRequest(5, 2.0, acceleration);
    request.set_image_count(2);
    const auto images = ImagesByIndex(Generate(client_, request));
    request.mutable_preview()->set_every_n_steps(2);
    request.mutable_preview()->set_max_side(16);

    // A request may miss a preview that a newer one has overtaken; so many do not all miss it.
    std::map<std::pair<int, int>, std::string> previews;
    for (int i = 0; i < 50 && previews.size() < 4; ++i) {
      const Outcome outcome = Generate(client_, request);
      ExpectEventsInOrder(outcome, /*steps=*/5, /*every_n_steps=*/2);
      EXPECT_EQ(ImagesByIndex(outcome), images) << "the previews changed the images";
      for (const auto& [key, preview] : PreviewsByStep(outcome)) {
        EXPECT_EQ(previews.emplace(key, preview).first->second, preview);
      }
    }
    std::vector<std::pair<int, int>> seen;
    for (const auto& [image_and_step, preview] : previews) seen.push_back(image_and_step);
    EXPECT_THAT(seen, UnorderedElementsAre(Pair(0, 2), Pair(0, 4), Pair(1, 2), Pair(1, 4)));
  }
}

TEST_F(AccelerationTest, TheLastStepGivesNoPreview) {
  Start();
  v1::GenerateRequest request = BagRequest(4, 2.0, v1::ACCELERATION_FEEDBACK);
  request.mutable_preview()->set_every_n_steps(4);
  const Outcome outcome = Generate(client_, request);
  ExpectFeedback(OnlyImage(outcome), 4, /*rows=*/2);
  EXPECT_TRUE(PreviewsByStep(outcome).empty());
}

TEST_F(AccelerationTest, AnImageIsTheOneThatItsOwnSeedGives) {
  Start();
  constexpr int kImages = 3;
  for (const auto& [steps, guidance_scale] : {std::pair{5, 2.0}, std::pair{4, 1.0}}) {
    v1::GenerateRequest request = BagRequest(steps, guidance_scale, v1::ACCELERATION_FEEDBACK);
    const uint64_t seed = std::numeric_limits<uint64_t>::max() - 1;  // the last wraps around to 0
    request.set_seed(seed);
    request.set_image_count(kImages);
    const Outcome outcome = Generate(client_, request);
    ASSERT_TRUE(outcome.status.ok()) << outcome.status.error_message();
    const std::map<int, std::string> images = ImagesByIndex(outcome);
    ASSERT_EQ(images.size(), static_cast<size_t>(kImages));
    request.set_image_count(1);
    for (const auto& [index, image] : images) {
      request.set_seed(seed + static_cast<uint64_t>(index));
      const v1::ImageEvent alone = OnlyImage(Generate(client_, request));
      EXPECT_EQ(alone.seed(), request.seed());
      EXPECT_EQ(alone.data(), image) << index;
    }
    EXPECT_NE(images.at(0), images.at(1));
  }
}

TEST_F(AccelerationTest, MetricsCountFeedbackRowsAndTheBlocksSaved) {
  Start();
  const std::string feedback_rows = "ilf_feedback_rows_total{model=\"fashion-dit\",worker=\"0\"}";
  const std::string model = "{model=\"fashion-dit\"}";
  ASSERT_TRUE(Generate(client_, BagRequest(5, 2.0, v1::ACCELERATION_OFF)).status.ok());
  std::string metrics = server_->Metrics();
  EXPECT_EQ(MetricValue(metrics, feedback_rows), 0);
  EXPECT_EQ(MetricValue(metrics, "ilf_block_evaluations_saved_total" + model), 0);
  EXPECT_EQ(MetricValue(metrics, "ilf_block_evaluations_total" + model), 5 * 2 * kPlainBlocks);

  v1::GenerateRequest two_images = BagRequest(5, 2.0, v1::ACCELERATION_FEEDBACK);
  two_images.set_image_count(2);
  ASSERT_TRUE(Generate(client_, two_images).status.ok());
  metrics = server_->Metrics();
  int64_t saved = 2 * 2 * SavedBlocks(5);
  EXPECT_EQ(MetricValue(metrics, feedback_rows), 2 * 2 * FeedbackSteps(5));
  EXPECT_EQ(MetricValue(metrics, "ilf_block_evaluations_saved_total" + model), saved);

  ASSERT_TRUE(Generate(client_, BagRequest(4, 1.0, v1::ACCELERATION_FEEDBACK)).status.ok());
  metrics = server_->Metrics();
  saved += SavedBlocks(4);
  EXPECT_EQ(MetricValue(metrics, feedback_rows), 2 * 2 * FeedbackSteps(5) + FeedbackSteps(4));
  EXPECT_EQ(MetricValue(metrics, "ilf_block_evaluations_saved_total" + model), saved);
  EXPECT_EQ(MetricValue(metrics, "ilf_block_evaluations_total" + model),
            5 * 2 * kPlainBlocks + 2 * 2 * FeedbackBlocks(5) + FeedbackBlocks(4));
}

class ClientAccelerationTest : public AccelerationTest {
 protected:
  ~ClientAccelerationTest() override { std::filesystem::remove(picture_); }

  // Runs ilf-client: its exit code, and what it wrote, a line each.
  std::pair<int, std::vector<std::string>> Run(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), ILF_BINARY_DIR "/bin/ilf-client");
    arguments.push_back("--address=" + server_->address());
    ChildProcess client(arguments);
    const int exit_code = client.Wait();
    return {exit_code, client.Lines()};
  }

  // What `generate` with these flags writes, for the picture of BagRequest.
  std::pair<int, std::vector<std::string>> RunGenerate(std::vector<std::string> flags) {
    flags.insert(flags.begin(), {"generate", "--label=Bag", "--seed=1234", "--out=" + picture_});
    return Run(flags);
  }

  std::string Picture() const {
    std::ifstream file(picture_, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(file), {});
  }

  const std::string picture_ = TestPath("bag.png");
};

TEST_F(ClientAccelerationTest, AsksForFeedbackAndReportsItAsJson) {
  Start();
  const auto [exit_code, lines] =
      RunGenerate({"--steps=5", "--guidance=2", "--acceleration=feedback", "--json"});
  EXPECT_EQ(exit_code, 0) << testing::PrintToString(lines);
  EXPECT_THAT(lines, Contains(HasSubstr(R"({"step":{"image_index":0,"step":5,"steps":5}})")));
  const auto image = std::find_if(lines.begin(), lines.end(), [](const std::string& line) {
    return absl::StartsWith(line, R"({"image":)");
  });
  ASSERT_NE(image, lines.end());
  EXPECT_THAT(*image, HasSubstr(R"("steps":5,"block_evaluations":"312",)"));
  EXPECT_THAT(*image, HasSubstr(R"("feedback_steps":4)"));
  EXPECT_EQ(Picture(),
            OnlyImage(Generate(client_, BagRequest(5, 2.0, v1::ACCELERATION_FEEDBACK))).data());
}

TEST_F(ClientAccelerationTest, AutoIsTheDefaultAndOffTurnsItOff) {
  Start();
  const auto [exit_code, lines] = RunGenerate({"--steps=4", "--guidance=1"});
  EXPECT_EQ(exit_code, 0) << testing::PrintToString(lines);
  EXPECT_THAT(lines, Contains(HasSubstr("32x32, 4 steps (3 with feedback) in ")));
  EXPECT_THAT(lines, Contains(HasSubstr(", 124 of ")));

  const auto [off_exit_code, off_lines] =
      RunGenerate({"--steps=4", "--guidance=1", "--acceleration=off"});
  EXPECT_EQ(off_exit_code, 0) << testing::PrintToString(off_lines);
  EXPECT_THAT(off_lines, Contains(HasSubstr("32x32, 4 steps in ")));
  EXPECT_THAT(off_lines, Contains(HasSubstr(", 112 of 112 block evaluations")));
}

TEST_F(ClientAccelerationTest, SaysWhichPlansExistWhereThereIsNone) {
  Start();
  const auto [exit_code, lines] = RunGenerate({"--steps=8", "--acceleration=feedback"});
  EXPECT_EQ(exit_code, 8) << "the exit code for what a model cannot do";
  EXPECT_THAT(lines, Contains(HasSubstr("error: FAILED_PRECONDITION")));
  EXPECT_THAT(lines, Contains(HasSubstr("5 steps with dpmsolver++")));
  EXPECT_FALSE(std::filesystem::exists(picture_));
}

TEST_F(ClientAccelerationTest, ListsThePlans) {
  Start();
  const auto [exit_code, lines] = Run({"models"});
  EXPECT_EQ(exit_code, 0);
  EXPECT_THAT(lines, Contains(HasSubstr("feedback: 4 steps with dpmsolver++, 3 of them with "
                                        "feedback, 124 block evaluations")));
  EXPECT_THAT(lines, Contains(HasSubstr("guidance 1 to 2.5")));

  const auto [json_exit_code, json] = Run({"models", "--json"});
  EXPECT_EQ(json_exit_code, 0);
  EXPECT_THAT(json, Contains(HasSubstr(R"({"steps":5,"solver":"SOLVER_DPM_SOLVER_PP_2M",)"
                                       R"("feedback_steps":4,"block_evaluations":"156",)")));
}

}  // namespace
}  // namespace ilf
