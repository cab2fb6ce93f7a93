// A small model whose feedback module is trained in a test.
#pragma once

#include <atomic>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "engine/checkpoint/json_config.h"
#include "engine/pipeline/diffusion_model.h"
#include "engine/training/feedback_trainer.h"
#include "engine/training/plan_fit.h"
#include "engine/training/reference.h"
#include "tests/training/small_model.h"

namespace ilf {

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

}  // namespace ilf
