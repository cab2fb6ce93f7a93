// Text to image over TCP, from the real server on the shipped models.
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "gmock/gmock.h"
#include "google/rpc/error_details.pb.h"
#include "gtest/gtest.h"
#include "tests/integration/requests.h"
#include "tests/integration/server_process.h"
#include "tests/integration/serving_test.h"
#include "tests/server/error_details_testing.h"
#include "tests/testing/temp_path.h"

namespace ilf {
namespace {

using testing::AllOf;
using testing::Gt;
using testing::HasSubstr;
using testing::Lt;

class TextTest : public ServingTest {
 protected:
  // The server makes the pictures of `together` again where each request comes alone.
  void ExpectTheSameAlone(const std::vector<v1::GenerateRequest>& requests,
                          const std::vector<Outcome>& together) {
    for (size_t i = 0; i < requests.size(); ++i) {
      ASSERT_TRUE(together[i].status.ok()) << together[i].status.error_message();
      const Outcome alone = Generate(client_, requests[i]);
      ASSERT_TRUE(alone.status.ok()) << alone.status.error_message();
      EXPECT_EQ(ImagesByIndex(together[i]), ImagesByIndex(alone)) << requests[i].ShortDebugString();
    }
  }
};

v1::GenerateRequest Prompt(const std::string& prompt, int steps, double guidance_scale,
                           uint64_t seed) {
  v1::GenerateRequest request = PromptRequest(prompt, steps);
  request.set_guidance_scale(guidance_scale);
  request.set_seed(seed);
  return request;
}

// Steps of more rows than any one request has, and fewer readings of prompts than requests: by a
// text model that has served nothing but `requests` requests, of at most `rows` rows each.
void ExpectCompany(const std::string& metrics, const std::string& model, int requests, int rows) {
  const std::string labels = "{model=\"" + model + "\",worker=\"0\"}";
  EXPECT_GT(MetricValue(metrics, "ilf_batch_rows_sum" + labels),
            rows * MetricValue(metrics, "ilf_batch_rows_count" + labels));
  EXPECT_THAT(MetricValue(metrics, "ilf_preparation_seconds_count" + labels),
              AllOf(Gt(0), Lt(requests)));
}

// Both models at once: prompts of different length, with and without guidance and negative prompt,
// one of them twice; prompts and classes with feedback and without. Alone they are painted by a
// server of their own, which keeps no prompt that was read in company.
TEST_F(TextTest, EveryClientGetsThePicturesThatItWouldGetAlone) {
  std::vector<v1::GenerateRequest> requests = {
      Prompt("red heart", 4, 3.0, 1),
      Prompt("woman and man holding hands: dark skin tone, medium-dark skin tone", 6, 1.0, 2),
      Prompt("red heart", 5, 1.5, 3),
      Prompt("flag: Sweden", 4, 4.5, 4),
      Prompt("\xF0\x9F\x98\x80 any words at all", 7, 2.0, 5),
      BagRequest(5, 2.0, v1::ACCELERATION_FEEDBACK),
      BagRequest(6, 1.0, v1::ACCELERATION_OFF),
  };
  requests[3].mutable_text_prompt()->set_negative_prompt("flag: Norway");
  requests[4].set_image_count(2);
  requests[4].mutable_preview();

  Start({"--max_active_images=16", "--max_batch_rows=12"});
  const std::vector<Outcome> together = GenerateTogether(*server_, requests);
  ExpectCompany(server_->Metrics(), "emoji-pixart", /*requests=*/5, /*rows=*/4);
  const std::vector<int> feedback_steps = {3, 5, 4, 0, 0, 4, 0};  // guidance 4.5 and 7 steps: none
  for (size_t i = 0; i < requests.size(); ++i) {
    for (const v1::GenerateResponse& event : together[i].events) {
      if (!event.has_image()) continue;
      EXPECT_EQ(event.image().feedback_steps(), feedback_steps[i])
          << requests[i].ShortDebugString();
    }
  }
  Start();
  ExpectTheSameAlone(requests, together);
}

// A fixture's model that paints at PixArt-256's aspect ratios.
TEST_F(TextTest, PicturesOfSeveralSizesShareStepsAndAreWhatTheyWouldBeAlone) {
  const TemporaryDirectory root;
  std::filesystem::create_directory_symlink(ShippedModels() + "/fashion-dit",
                                            root.path() + "/fashion-dit");
  std::filesystem::create_directory_symlink(
      ILF_SOURCE_DIR "/tests/fixtures/pixart/pipelines/binned", root.path() + "/binned");
  std::vector<v1::GenerateRequest> requests;
  const std::vector<std::pair<int, int>> sizes = {{256, 256}, {512, 128}, {160, 384}, {248, 248}};
  for (const auto& [width, height] : sizes) {
    const uint64_t seed = requests.size();
    v1::GenerateRequest request = Prompt("a red bag", 4, seed % 2 == 0 ? 1.0 : 3.0, seed);
    request.set_model("binned");
    request.set_width(width);
    request.set_height(height);
    requests.push_back(request);
  }
  const std::string model_root = "--model_root=" + root.path();

  Start({model_root, "--max_active_images=16"});
  const std::vector<Outcome> together = GenerateTogether(*server_, requests);
  ExpectCompany(server_->Metrics(), "binned", /*requests=*/4, /*rows=*/2);
  Start({model_root});
  ExpectTheSameAlone(requests, together);
}

TEST_F(TextTest, PreviewsOfAPromptComeBeforeItsPicture) {
  Start();
  v1::GenerateRequest request = Prompt("red heart", 8, 2.0, 1);
  request.set_image_count(2);
  request.mutable_preview()->set_every_n_steps(2);
  request.mutable_preview()->set_max_side(32);
  const Outcome outcome = Generate(client_, request);
  ASSERT_TRUE(outcome.status.ok()) << outcome.status.error_message();

  std::map<int, int> last_preview;  // its step, by image
  std::set<int> painted;
  for (const v1::GenerateResponse& event : outcome.events) {
    if (event.has_image()) painted.insert(event.image().image_index());
    if (!event.has_preview()) continue;
    const v1::PreviewEvent& preview = event.preview();
    EXPECT_FALSE(painted.contains(preview.image_index()));
    EXPECT_GT(preview.step(), last_preview[preview.image_index()]);
    EXPECT_EQ(preview.step() % 2, 0);
    EXPECT_LT(preview.step(), 8);
    EXPECT_EQ(preview.steps(), 8);
    EXPECT_EQ(preview.width(), 32);
    EXPECT_EQ(preview.height(), 32);
    EXPECT_EQ(preview.format(), v1::IMAGE_FORMAT_PNG);
    EXPECT_TRUE(absl::StartsWith(preview.data(), "\x89PNG"));
    last_preview[preview.image_index()] = preview.step();
  }
  EXPECT_EQ(last_preview.size(), 2u) << "an image without a preview";
  EXPECT_EQ(painted.size(), 2u);
}

TEST_F(TextTest, APromptDecidesThePictureAndIsReadOnce) {
  Start();
  const auto picture = [&](const v1::GenerateRequest& request) {
    return ImagesByIndex(Generate(client_, request)).at(0);
  };
  const std::string heart = picture(Prompt("red heart", 4, 1.0, 1));
  EXPECT_EQ(picture(Prompt("Red  HEART", 4, 1.0, 1)), heart);  // prompts are cleaned
  EXPECT_NE(picture(Prompt("blue heart", 4, 1.0, 1)), heart);
  const std::string metrics = server_->Metrics();
  const auto prompts = [&](const std::string& cached) {
    return MetricValue(metrics,
                       "ilf_prompts_total{cached=\"" + cached + "\",model=\"emoji-pixart\"}");
  };
  EXPECT_EQ(prompts("false"), 2);
  EXPECT_EQ(prompts("true"), 1);
}

TEST_F(TextTest, WithoutAModelsNameTheOneThatTakesAPromptPaints) {
  Start();
  v1::GenerateRequest request = PromptRequest("red heart", 2);
  request.clear_model();
  const Outcome outcome = Generate(client_, request);
  ASSERT_TRUE(outcome.status.ok()) << outcome.status.error_message();
  EXPECT_EQ(outcome.events[0].queued().model(), "emoji-pixart");
}

TEST_F(TextTest, RefusesWhatItCannotReadAndServesTheOthers) {
  Start();
  const Outcome too_long = Generate(client_, PromptRequest(std::string(5000, 'x')));
  EXPECT_EQ(too_long.status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(too_long.status.error_message(), HasSubstr("at most 4096 bytes"));
  v1::GenerateRequest label = BagRequest();
  label.set_model("emoji-pixart");
  const grpc::Status status = Generate(client_, label).status;
  EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(DetailOf<google::rpc::ErrorInfo>(status).value().metadata().at("model"),
            "emoji-pixart");
  EXPECT_TRUE(Generate(client_, PromptRequest("red heart", 2)).status.ok());
}

}  // namespace
}  // namespace ilf
