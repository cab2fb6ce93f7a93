#include <atomic>
#include <filesystem>
#include <string>

#include <torch/types.h>

#include <gtest/gtest.h>

#include "engine/evaluation/classifier_trainer.h"
#include "engine/model/image_classifier.h"
#include "engine/training/image_folder.h"
#include "tests/testing/temp_path.h"
#include "tests/training/small_dataset.h"

namespace ilf {
namespace {

TEST(ClassifierTest, LearnsToTellBlackFromWhiteAndIsReadBack) {
  const std::string data = SmallDataset("classifier", 2, 8);  // one of each
  ClassifierTrainingOptions options;
  options.data = options.test_data = data;
  options.config = {.channels = {8, 8}, .strides = {1, 2}, .norm_groups = 4, .image_size = 8};
  options.largest_shift = 1;
  options.loop.output = TestPath("classifier");
  std::filesystem::remove_all(options.loop.output);
  options.loop.steps = 40;
  options.loop.batch_size = 2;
  options.loop.warmup_steps = 2;
  options.loop.learning_rate = 0.02;
  options.loop.ema_decay = 0.8;
  options.loop.bf16 = false;
  const std::atomic<bool> stop{false};
  const absl::Status status = TrainClassifier(options, stop);
  ASSERT_TRUE(status.ok()) << status;

  const JsonConfig json = JsonConfig::Load(options.loop.output + "/config.json").value();
  EXPECT_EQ(json.GetDouble("test_accuracy").value(), 1.0);
  const auto classifier = ImageClassifier::LoadDirectory(options.loop.output);
  ASSERT_TRUE(classifier.ok()) << classifier.status();
  const at::Tensor pictures = ImageFolder::Open(data, 8)->Images({0, 1}).value();
  const at::Tensor features = classifier->Features(pictures);
  EXPECT_EQ(features.sizes(), (std::vector<int64_t>{2, 8}));
  EXPECT_TRUE(at::equal(classifier->Logits(features).argmax(1), at::tensor({0, 1}, at::kLong)));
}

}  // namespace
}  // namespace ilf
