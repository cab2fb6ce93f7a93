#include "engine/training/feedback_trainer.h"

#include <atomic>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "engine/checkpoint/state_dict.h"
#include "engine/pipeline/diffusion_model.h"
#include "engine/training/feedback_losses.h"
#include "engine/training/noise_seeds.h"
#include "engine/training/plan_fit.h"
#include "engine/training/reference.h"
#include "tests/training/small_classifier.h"
#include "tests/training/small_dataset.h"
#include "tests/training/small_model.h"

namespace ilf {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class FeedbackTrainerTest : public ::testing::Test {
 protected:
  FeedbackTrainerTest() {
    options_.plans = model_ + "/plans.json";
    options_.train_images = 24;
    options_.validation_images = 12;
    options_.reference_steps = 30;
    options_.bf16_backbone = false;
    options_.loop.output = model_;
    options_.loop.steps = 40;
    options_.loop.batch_size = 12;
    options_.loop.warmup_steps = 2;
    options_.loop.learning_rate = 5e-3;
    options_.loop.ema_decay = 0.9;
    options_.loop.checkpoint_every = 20;
  }
  ~FeedbackTrainerTest() override { std::filesystem::remove_all(model_); }

  void WritePlans(const std::string& extra) {
    std::ofstream(options_.plans)
        << R"({"first_inner_block": 2, "inner_blocks": 2, "plans": [{"steps": 2, "solver": "dpmsolver++",
               "timesteps": [999, 600], "feedback_steps": [0, 1], "equivalent_steps": 3)"
        << extra << "}]}";
  }

  // Makes the model one that reads text.
  void UseTextModel() {
    std::filesystem::remove_all(model_);
    ASSERT_EQ(SmallTextModelDirectory("feedback_trainer"), model_);
    options_.prompts = model_ + "/prompts.txt";
    std::ofstream(options_.prompts) << "red heart\ngrinning face with smiling eyes\n\na\n";
  }

  // What the lines of a log of the run say, in order.
  std::vector<double> Logged(const std::string& file, const char* key) {
    std::vector<double> values;
    std::ifstream log(model_ + "/training/feedback/" + file);
    for (std::string line; std::getline(log, line);) {
      values.push_back(JsonConfig::FromText(line, "log")->GetDouble(key).value());
    }
    return values;
  }
  std::vector<double> Measures() { return Logged("validation.jsonl", "measure"); }

  std::string ModuleBytes() {
    std::ifstream file(model_ + "/feedback/diffusion_pytorch_model.safetensors", std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(file), {});
  }

  std::shared_ptr<const DiffusionModel> Load() {
    const auto loaded = DiffusionModel::Load(model_, "small", {});
    EXPECT_TRUE(loaded.ok()) << loaded.status();
    return loaded.value_or(nullptr);
  }

  // RMSE of plain steps at the plan's timesteps: of latents, or of what the model decodes them to.
  double PlainError(const DiffusionModel& model, bool pictures = false) {
    const std::atomic<bool> stop{false};
    const Denoiser plain = {&model.transformer()};
    const Subjects subjects = ReadSubjects(model_, options_.prompts, {}).value();
    const Reference reference =
        SolveReference(plain, model.schedule(), {999, 600},
                       {.images = 12, .subjects = subjects, .min_steps = 30},
                       model_ + "/test_reference.safetensors", "", stop)
            .value();
    const FeedbackPlan plan = {.steps = 2, .timesteps = {999, 600}};
    const at::Tensor latents = RunPlan(plain, model.schedule(), plan, reference, {}).value();
    if (!pictures) return Rmse(latents, reference.final_latents());
    return Rmse(model.autoencoder().DecodeScaled(latents),
                model.autoencoder().DecodeScaled(reference.final_latents()));
  }

  const std::string model_ = SmallModelDirectory("feedback_trainer");
  const std::atomic<bool> stop_{false};
  FeedbackTrainingOptions options_;
};

TEST_F(FeedbackTrainerTest, WritesAModuleThatIsCloserToTheReferenceThanPlainSteps) {
  WritePlans("");
  for (const SamplerLoss loss : {SamplerLoss::kFinal, SamplerLoss::kLanding}) {
    options_.loss = loss;
    options_.loop.resume = false;
    const absl::Status status = TrainFeedback(options_, stop_);
    ASSERT_TRUE(status.ok()) << status;
    const std::vector<double> measures = Measures();
    ASSERT_EQ(measures.size(), 2u);
    const auto model = Load();
    ASSERT_NE(model, nullptr);
    EXPECT_LT(measures.back(), 0.9 * PlainError(*model));
    ASSERT_EQ(model->info().feedback_plans.size(), 1u);
    EXPECT_EQ(model->info().feedback_plans[0].block_evaluations, 2 * (4 + 3));
  }
}

TEST_F(FeedbackTrainerTest, TakesTheNoisesThatItIsTold) {
  WritePlans("");
  options_.first_train_image = 24;
  options_.loop.steps = 1;
  ASSERT_TRUE(TrainFeedback(options_, stop_).ok());
  auto kept = StateDict::Load(
      model_ + "/training/feedback/training_noises_from_24_guidance_1_from_999.safetensors");
  ASSERT_TRUE(kept.ok()) << kept.status();
  const at::Tensor states = kept->Take("states", kept->Shape("states").value()).value();
  const auto model = Load();
  ASSERT_NE(model, nullptr);
  const TransformerConfig& config = model->transformer().config();
  const at::Tensor noises = NoiseOf(config, kFirstFeedbackTrainingSeed, 48);
  EXPECT_TRUE(at::equal(states[0], noises.narrow(0, 24, 24)));
}

TEST_F(FeedbackTrainerTest, LearnsFromTheErrorOfPictures) {
  WritePlans("");
  options_.loss = SamplerLoss::kPictures;
  const absl::Status status = TrainFeedback(options_, stop_);
  ASSERT_TRUE(status.ok()) << status;
  const auto model = Load();
  ASSERT_NE(model, nullptr);
  EXPECT_LT(Measures().back(), 0.9 * PlainError(*model, /*pictures=*/true));
}

TEST_F(FeedbackTrainerTest, PullsFeaturesOfPicturesToWhereRealOnesLie) {
  WritePlans("");
  options_.loss = SamplerLoss::kPictures;
  options_.classifier = SmallClassifier("feedback_trainer");
  options_.data = SmallDataset("feedback_trainer", 12, 8);
  options_.feature_weight = 20.0;
  options_.loop.checkpoint_every = 1;
  const absl::Status status = TrainFeedback(options_, stop_);
  ASSERT_TRUE(status.ok()) << status;
  const auto logged = [&](const char* key) {
    std::vector<double> values;
    std::ifstream log(model_ + "/training/feedback/validation.jsonl");
    for (std::string line; std::getline(log, line);) {
      values.push_back(nlohmann::json::parse(line)[key][0].get<double>());
    }
    return values;
  };
  EXPECT_LT(logged("frechet").back(), 0.95 * logged("frechet").front());
}

TEST_F(FeedbackTrainerTest, FeaturesAreOfPicturesAndNeedRealOnes) {
  WritePlans("");
  options_.classifier = SmallClassifier("feedback_trainer");
  options_.loss = SamplerLoss::kPictures;
  EXPECT_THAT(std::string(TrainFeedback(options_, stop_).message()), HasSubstr("(--data)"));
  options_.data = SmallDataset("feedback_trainer", 12, 8);
  options_.loss = SamplerLoss::kFinal;
  EXPECT_THAT(std::string(TrainFeedback(options_, stop_).message()),
              HasSubstr("--classifier needs --states sampler --loss pictures"));
}

TEST_F(FeedbackTrainerTest, WritesAModuleForAModelThatReadsText) {
  UseTextModel();
  WritePlans(R"(, "guidance_scales": [1, 3])");
  options_.initial = InitialBlock::kBackbone;
  const absl::Status status = TrainFeedback(options_, stop_);
  ASSERT_TRUE(status.ok()) << status;
  const auto model = Load();
  ASSERT_NE(model, nullptr);
  EXPECT_EQ(model->info().feedback_plans.size(), 1u);
  EXPECT_LT(Measures().back(), Measures().front());
}

TEST_F(FeedbackTrainerTest, LearnsOnCaptionedPictures) {
  UseTextModel();
  WritePlans(R"(, "feedback_in_history": false)");
  options_.states = FeedbackStates::kImages;
  options_.data = SmallCaptionedDataset("feedback_trainer", 12, 8);
  options_.loop.steps = 2;
  const absl::Status status = TrainFeedback(options_, stop_);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_TRUE(std::filesystem::exists(model_ + "/feedback/config.json"));
  options_.data = SmallDataset("feedback_trainer", 12, 8);
  EXPECT_THAT(std::string(TrainFeedback(options_, stop_).message()),
              HasSubstr("picture 0 has no \"text\""));
}

TEST_F(FeedbackTrainerTest, LearnsTheCoefficientsOfPlansThatHaveThem) {
  WritePlans(R"(, "coefficients": [[0.5, 0.6, 0], [0.0, 1.0, 0.0]])");
  options_.coefficient_gain = 10;
  ASSERT_TRUE(TrainFeedback(options_, stop_).ok());
  const auto model = Load();
  ASSERT_NE(model, nullptr);
  const FeedbackPlan plan = model->feedback_plans()[0].plan;
  EXPECT_NE(plan.coefficients[0].a, 0.5);
  EXPECT_EQ(plan.coefficients[0].c, 0.0);
  EXPECT_NE(plan.coefficients[1].c, 0.0);
}

TEST_F(FeedbackTrainerTest, CanStartFromACopyOfTheLastInnerBlock) {
  WritePlans("");
  options_.initial = InitialBlock::kBackbone;
  options_.save_dtype = at::kFloat;
  options_.loop.steps = 1;
  options_.loop.learning_rate = 0.0;
  ASSERT_TRUE(TrainFeedback(options_, stop_).ok());
  const auto file_of = [&](const std::string& part) {
    return StateDict::Load(model_ + "/" + part + "/diffusion_pytorch_model.safetensors").value();
  };
  StateDict module = file_of("feedback"), backbone = file_of("transformer");
  for (const std::string& name : module.Names()) {
    if (name == "scales") continue;
    const std::vector<int64_t> shape = module.Shape(name).value();
    const std::string from = "transformer_blocks.3." + name.substr(std::string("block.").size());
    EXPECT_TRUE(at::equal(module.Take(name, shape).value(),
                          backbone.Take(from, shape).value().to(at::kFloat)))
        << name;
  }
}

TEST_F(FeedbackTrainerTest, CanStartFromAModuleThatHasLearned) {
  WritePlans("");
  ASSERT_TRUE(TrainFeedback(options_, stop_).ok());
  const std::string learned = ModuleBytes();
  const std::string first = model_ + "_first";
  std::filesystem::remove_all(first);
  std::filesystem::rename(model_, first);
  ASSERT_EQ(SmallModelDirectory("feedback_trainer"), model_);
  WritePlans("");
  options_.initial_model = first;
  options_.scale_gain = 4.0;  // a power of two, so that no bit of the scales is lost
  options_.loop.learning_rate = 0.0;
  options_.loop.steps = 1;
  const absl::Status status = TrainFeedback(options_, stop_);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_TRUE(ModuleBytes() == learned);
  std::filesystem::remove_all(first);
}

TEST_F(FeedbackTrainerTest, AModuleThatHasLearnedIsNotReplacedByAWorseOne) {
  WritePlans("");
  ASSERT_TRUE(TrainFeedback(options_, stop_).ok());
  const std::string learned = ModuleBytes();
  const std::string first = model_ + "_first";
  std::filesystem::remove_all(first);
  std::filesystem::copy(model_, first, std::filesystem::copy_options::recursive);
  options_.initial_model = first;
  options_.loop.resume = false;
  options_.loop.learning_rate = 0.5;  // ruins what was learned
  options_.loop.checkpoint_every = 1;
  options_.loop.steps = 10;
  options_.patience = 3;
  ASSERT_TRUE(TrainFeedback(options_, stop_).ok());
  EXPECT_TRUE(ModuleBytes() == learned);
  EXPECT_EQ(Measures().size(), 3u) << "checks until patience was out";
  options_.loop.resume = true;
  ASSERT_TRUE(TrainFeedback(options_, stop_).ok());
  EXPECT_EQ(Measures().size(), 4u) << "checks before the run was resumed count";
  std::filesystem::remove_all(first);
}

TEST_F(FeedbackTrainerTest, APlanStatesTheTimestepsOfItsSpacing) {
  std::ofstream(options_.plans)
      << R"({"first_inner_block": 2, "inner_blocks": 2, "plans": [{"steps": 2, "solver": "dpmsolver++",
             "spacing": "trailing", "feedback_steps": [1], "equivalent_steps": 3}]})";
  options_.loop.steps = 2;
  const absl::Status status = TrainFeedback(options_, stop_);
  ASSERT_TRUE(status.ok()) << status;
  const auto model = Load();
  ASSERT_NE(model, nullptr);
  const CalibratedPlan plan = model->feedback_plans()[0];
  EXPECT_EQ(plan.plan.timesteps, (std::vector<double>{999, 499}));
  EXPECT_FALSE(plan.spacing.has_value());
}

TEST_F(FeedbackTrainerTest, RefusesASpacingWhoseTimestepsCoincide) {
  std::ofstream(options_.plans)
      << R"({"first_inner_block": 2, "inner_blocks": 2, "plans": [{"steps": 200, "solver": "dpmsolver++",
             "spacing": "karras", "feedback_steps": [1], "equivalent_steps": 300}]})";
  EXPECT_THAT(std::string(TrainFeedback(options_, stop_).message()),
              AllOf(HasSubstr("plans.json: the steps of its spacing start at the timesteps 999, "),
                    HasSubstr("timesteps must fall")));
}

TEST_F(FeedbackTrainerTest, PlansOfEqualGuidanceShareTheirReferences) {
  WritePlans(R"(}, {"steps": 1, "solver": "dpmsolver++", "timesteps": [999], "feedback_steps": [0],
                    "equivalent_steps": 2)");
  for (const SamplerLoss loss : {SamplerLoss::kFinal, SamplerLoss::kLanding}) {
    options_.loss = loss;
    options_.loop.steps = 2;
    options_.loop.resume = false;
    const absl::Status status = TrainFeedback(options_, stop_);
    ASSERT_TRUE(status.ok()) << status;
    std::set<std::string> files;
    for (const auto& entry : std::filesystem::directory_iterator(model_ + "/training/feedback")) {
      if (entry.path().string().find("guidance") != std::string::npos) {
        files.insert(entry.path().filename());
      }
    }
    EXPECT_EQ(files, (std::set<std::string>{"training_guidance_1_from_999.safetensors",
                                            "validation_guidance_1_from_999.safetensors"}));
  }
}

TEST_F(FeedbackTrainerTest, EveryLossIsRelativeToTheErrorThatItsPlanStartsWith) {
  WritePlans(R"(}, {"steps": 1, "solver": "dpmsolver++", "timesteps": [999], "feedback_steps": [0],
                    "equivalent_steps": 2)");
  options_.loop.learning_rate = 0.0;
  options_.loop.steps = 2;  // one of each plan
  options_.loop.log_every = 1;
  for (const SamplerLoss loss : {SamplerLoss::kFinal, SamplerLoss::kPictures}) {
    options_.loss = loss;
    options_.loop.resume = false;
    ASSERT_TRUE(TrainFeedback(options_, stop_).ok());
    const std::vector<double> losses = Logged("losses.jsonl", "loss");
    ASSERT_EQ(losses.size(), 2u);
    // Other noises than those of the validation: not 1 to the bit.
    for (const double relative : losses) EXPECT_NEAR(relative, 1.0, 0.25);
  }
}

TEST_F(FeedbackTrainerTest, LearnsOnPicturesTowardsEveryTarget) {
  WritePlans(R"(, "feedback_in_history": false)");
  options_.states = FeedbackStates::kImages;
  options_.data = SmallDataset("feedback_trainer", 12, 8);
  options_.loop.steps = 2;
  for (const LandingTarget target :
       {LandingTarget::kRenoised, LandingTarget::kTrajectory, LandingTarget::kEffective}) {
    std::filesystem::remove_all(model_ + "/feedback");
    options_.teacher.target = target;
    options_.loop.resume = false;
    const absl::Status status = TrainFeedback(options_, stop_);
    ASSERT_TRUE(status.ok()) << status;
    EXPECT_TRUE(std::filesystem::exists(model_ + "/feedback/config.json"));
    options_.loop.resume = true;
    EXPECT_TRUE(TrainFeedback(options_, stop_).ok());
  }
  options_.teacher.target = LandingTarget::kRenoised;
  EXPECT_THAT(std::string(TrainFeedback(options_, stop_).message()),
              HasSubstr("other plans or settings; --no_resume begins anew"));
}

TEST_F(FeedbackTrainerTest, PicturesHaveNoHistory) {
  WritePlans("");
  options_.states = FeedbackStates::kImages;
  EXPECT_THAT(std::string(TrainFeedback(options_, stop_).message()), HasSubstr("--data"));
  options_.data = "/anywhere";
  EXPECT_THAT(std::string(TrainFeedback(options_, stop_).message()),
              HasSubstr("feedback_in_history must be false"));
}

TEST(PictureTaskTest, EveryFeedbackStepMeetsBothGuidanceScales) {
  for (const int steps : {1, 2, 3, 4}) {
    CalibratedPlan plan;
    for (int step = 0; step < steps; ++step) plan.plan.feedback.push_back({step, 0.0});
    plan.max_guidance_scale = 2.5;
    std::set<std::pair<int, double>> tasks;
    for (int64_t picture = 0; picture < 2 * steps; ++picture) {
      const PictureTask task = TaskOf(plan, picture);
      tasks.insert({task.feedback.step, task.guidance_scale});
    }
    EXPECT_EQ(tasks.size(), 2u * steps);
  }
}

TEST_F(FeedbackTrainerTest, LearnsBesideABackboneInBfloat16) {
  WritePlans("");
  options_.bf16_backbone = true;
  const absl::Status status = TrainFeedback(options_, stop_);
  ASSERT_TRUE(status.ok()) << status;
  const auto model = Load();
  ASSERT_NE(model, nullptr);
  EXPECT_LT(Measures().back(), 0.9 * PlainError(*model));
}

TEST_F(FeedbackTrainerTest, StatesOfImagesNeedNoTrainingReference) {
  WritePlans(R"(, "feedback_in_history": false)");
  options_.states = FeedbackStates::kImages;
  options_.data = SmallDataset("feedback_trainer", 12, 8);
  options_.loop.steps = 1;
  ASSERT_TRUE(TrainFeedback(options_, stop_).ok());
  for (const auto& entry : std::filesystem::directory_iterator(model_ + "/training/feedback")) {
    EXPECT_EQ(entry.path().filename().string().find("training_guidance"), std::string::npos);
  }
}

TEST_F(FeedbackTrainerTest, DoesNotGoOnFromARunOfOtherPlans) {
  WritePlans("");
  options_.loop.steps = 2;
  ASSERT_TRUE(TrainFeedback(options_, stop_).ok());
  WritePlans(R"(, "target_timesteps": [500, 100])");
  EXPECT_THAT(std::string(TrainFeedback(options_, stop_).message()),
              HasSubstr("other plans or settings; --no_resume begins anew"));
  options_.loop.resume = false;
  EXPECT_TRUE(TrainFeedback(options_, stop_).ok());
}

TEST_F(FeedbackTrainerTest, ARunThatGoesOnWithAnotherLossJudgesByThatAlone) {
  WritePlans("");
  ASSERT_TRUE(TrainFeedback(options_, stop_).ok());
  std::filesystem::remove_all(model_ + "/feedback");
  options_.loss = SamplerLoss::kPictures;
  options_.loop.steps = 80;
  ASSERT_TRUE(TrainFeedback(options_, stop_).ok());
  const std::vector<double> measures = Measures();
  ASSERT_EQ(measures.size(), 4u);
  EXPECT_TRUE(std::filesystem::exists(model_ + "/feedback/config.json"))
      << "latents " << measures[1] << ", pictures " << measures[2];
}

TEST_F(FeedbackTrainerTest, AResumedRunKeepsTheBestModuleOfBefore) {
  WritePlans("");
  ASSERT_TRUE(TrainFeedback(options_, stop_).ok());
  const std::string best = ModuleBytes();
  options_.loop.steps = 80;
  options_.loop.learning_rate = 0.5;  // ruins what was learned
  ASSERT_TRUE(TrainFeedback(options_, stop_).ok());
  const std::vector<double> measures = Measures();
  ASSERT_EQ(measures.size(), 4u);
  EXPECT_GT(measures.back(), measures[1]);
  EXPECT_TRUE(ModuleBytes() == best);
}

}  // namespace
}  // namespace ilf
