// What the images of a run show: classes, or prompts of a file.
#include "engine/training/subjects.h"

#include <filesystem>
#include <fstream>
#include <string>

#include <torch/types.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/pipeline/diffusion_model.h"
#include "engine/training/plan_fit.h"
#include "engine/training/reference.h"
#include "tests/training/small_dataset.h"
#include "tests/training/small_model.h"

namespace ilf {
namespace {

using ::testing::HasSubstr;

class TextSubjectsTest : public ::testing::Test {
 protected:
  TextSubjectsTest() { WritePrompts("red heart\r\ngrinning face\n\ncat\n"); }
  ~TextSubjectsTest() override { std::filesystem::remove_all(model_); }

  void WritePrompts(const std::string& text) { std::ofstream(file_, std::ios::binary) << text; }
  Subjects Read() { return ReadSubjects(model_, file_, {}).value(); }

  at::NoGradGuard no_grad_;
  const std::string model_ = SmallTextModelDirectory("subjects");
  const std::string file_ = model_ + "/prompts.txt";
};

TEST(SubjectsTest, AreTheClassesOfAModelThatHasThem) {
  const std::string model = SmallModelDirectory("subjects");
  const Subjects subjects = ReadSubjects(model, "", {}).value();
  ASSERT_EQ(subjects.all.size(), 3u);
  EXPECT_EQ(subjects.all[2].class_index, 2);
  EXPECT_THAT(std::string(ReadSubjects(model, "prompts.txt", {}).status().message()),
              HasSubstr("takes no file of prompts"));
  std::filesystem::remove_all(model);
}

TEST(SubjectsTest, OfPicturesAreClassesThatTheModelHas) {
  const std::string model = SmallModelDirectory("subjects");
  const std::string data = SmallDataset("subjects", 4, 8);
  const Subjects subjects = SubjectsOf(model, ImageFolder::Open(data, 8).value(), {}).value();
  ASSERT_EQ(subjects.all.size(), 4u);
  EXPECT_EQ(subjects.all[3].class_index, 1);
  std::ofstream(data + "/labels.json") << R"(["a", "b", "c", "d"])";
  std::ofstream(data + "/metadata.jsonl") << R"({"file_name": "0.png", "label": 3})";
  EXPECT_THAT(
      std::string(SubjectsOf(model, ImageFolder::Open(data, 8).value(), {}).status().message()),
      HasSubstr("picture 0 has class 3, the model has 3"));
  std::filesystem::remove_all(model);
}

TEST_F(TextSubjectsTest, AreTheLinesOfTheFileInAnOrderThatStays) {
  const Subjects subjects = Read();
  ASSERT_EQ(subjects.all.size(), 3u);
  const Subjects encoded = EncodePrompts(model_, {"red heart", "grinning face", "cat"}, {}).value();
  for (const Subject& expected : encoded.all) {
    int found = 0;
    for (const Subject& subject : subjects.all) {
      found += subject.prompt.sizes() == expected.prompt.sizes() &&
               at::allclose(subject.prompt, expected.prompt, 1e-5, 1e-5);
    }
    EXPECT_EQ(found, 1);
  }
  const Subjects again = Read();
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_TRUE(at::equal(again.all[i].prompt, subjects.all[i].prompt));
  }
  WritePrompts("red heart\n");
  EXPECT_NE(Read().key, subjects.key);
}

TEST_F(TextSubjectsTest, NeedAFileThatHoldsPrompts) {
  EXPECT_THAT(std::string(ReadSubjects(model_, "", {}).status().message()),
              HasSubstr("a file of prompts is needed"));
  EXPECT_THAT(std::string(ReadSubjects(model_, "/nowhere", {}).status().message()),
              HasSubstr("/nowhere: cannot be opened"));
  WritePrompts("\n\n");
  EXPECT_THAT(std::string(ReadSubjects(model_, file_, {}).status().message()),
              HasSubstr("holds no prompts"));
}

TEST_F(TextSubjectsTest, ImagesOfAPromptShareWhatWasReadOfIt) {
  const auto model = DiffusionModel::Load(model_, "small", {}).value();
  const Reference images =
      UnsolvedReference(model->transformer().config(), {.images = 5, .subjects = Read()});
  const auto conditions = ConditionsOf(model->denoiser(), images.subjects, images.no_prompt);
  EXPECT_EQ(conditions[0].prompt, conditions[3].prompt);
  EXPECT_NE(conditions[0].prompt, conditions[1].prompt);
  EXPECT_EQ(conditions[0].negative_prompt, conditions[1].negative_prompt);
}

TEST_F(TextSubjectsTest, AnImageOfAReferenceShowsItsPromptWhateverIsSolvedBesideIt) {
  const auto model = DiffusionModel::Load(model_, "small", {}).value();
  const Reference all =
      UnsolvedReference(model->transformer().config(),
                        {.images = 6, .guidance_scales = {1.0, 3.0}, .subjects = Read()});
  EXPECT_EQ(all.guidance_scales, (std::vector<double>{1, 1, 1, 3, 3, 3}));
  const auto sample = [&](const Reference& images) {
    return RunPlan(model->denoiser(), model->schedule(), {.steps = 3}, images, {}).value();
  };
  const at::Tensor together = sample(all);
  for (int64_t i = 0; i < 6; ++i) {
    EXPECT_TRUE(at::equal(sample(all.Select({i})), together.narrow(0, i, 1))) << i;
  }
  Reference swapped = all.Select({0});
  swapped.subjects[0] = all.subjects[1];
  EXPECT_FALSE(at::equal(sample(swapped), together.narrow(0, 0, 1)));
}

}  // namespace
}  // namespace ilf
