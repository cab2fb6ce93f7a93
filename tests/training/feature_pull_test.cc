#include "engine/training/feature_pull.h"

#include <filesystem>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include <torch/types.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/training/initial_weights.h"
#include "engine/training/latent_cache.h"
#include "tests/training/small_classifier.h"
#include "tests/training/small_dataset.h"
#include "tests/training/small_model.h"

namespace ilf {
namespace {

using ::testing::HasSubstr;

std::vector<int64_t> All(int64_t images) {
  std::vector<int64_t> all(images);
  std::iota(all.begin(), all.end(), 0);
  return all;
}

class FeaturePullTest : public ::testing::Test {
 protected:
  ~FeaturePullTest() override { std::filesystem::remove_all(model_); }

  // Of `images` random pictures whose guidance scales take turns.
  PictureFeatures Features(int64_t images, const std::vector<double>& scales) const {
    std::vector<double> by_image;
    for (int64_t i = 0; i < images; ++i) by_image.push_back(scales[i % scales.size()]);
    return real_.OfDecoded(at::randn({images, 4, 4, 4}), by_image, autoencoder_);
  }

  double Distance(const at::Tensor& features) const {
    return FrechetDistance(StatisticsOf(features), real_.statistics());
  }

  const std::string model_ = SmallModelDirectory("feature_pull");
  const AutoencoderKl autoencoder_ = LoadAutoencoder(model_, at::kCPU).value();
  const std::string data_ = SmallDataset("feature_pull", 12, 8);
  const RealFeatures real_ =
      RealFeatures::Load(SmallClassifier("feature_pull"), data_, 8, at::kCPU).value();
};

TEST_F(FeaturePullTest, IsOneForTheReferencesThemselves) {
  const PictureFeatures references = Features(40, {1.0});
  const auto pull = FeaturePull::Create(real_, references).value();
  // A mean over 40, where the covariance is one over 39.
  EXPECT_NEAR(pull->Error(0, All(40), references.values).item<double>(), 1.0, 0.03);
}

// Central differences of the distance itself, by single features of single pictures.
TEST_F(FeaturePullTest, HasTheGradientOfTheFrechetDistance) {
  const PictureFeatures references = Features(400, {1.0});
  const auto pull = FeaturePull::Create(real_, references).value();
  const at::Tensor features = references.values.clone().set_requires_grad(true);
  const double start = Distance(references.values);
  pull->Error(0, All(400), features).backward();
  // The covariance is a mean over 399 here, which tells where its part and the mean's cancel.
  const double tolerance = 0.02 * features.grad().abs().max().item<double>();
  for (const auto& [image, feature] : {std::pair(0, 1), {7, 5}, {399, 7}}) {
    constexpr double kStep = 1e-3;
    at::Tensor near = references.values.to(at::kDouble), far = near.clone();
    near[image][feature] -= kStep;
    far[image][feature] += kStep;
    const double slope = (Distance(far) - Distance(near)) / (2 * kStep) / start;
    EXPECT_NEAR(features.grad()[image][feature].item<double>(), slope, tolerance);
  }
}

TEST_F(FeaturePullTest, ImagesOfTheLeastGuidanceScaleCountAlone) {
  const PictureFeatures references = Features(8, {2.5, 1.0});
  const auto pull = FeaturePull::Create(real_, references).value();
  const at::Tensor features = references.values.clone().set_requires_grad(true);
  const at::Tensor error = pull->Error(0, {0, 1, 2}, features.slice(0, 0, 3));
  error.backward();
  EXPECT_EQ(features.grad()[0].abs().sum().item<double>(), 0.0);
  EXPECT_GT(features.grad()[1].abs().sum().item<double>(), 0.0);
  EXPECT_EQ(pull->Error(1, {1}, features.slice(0, 1, 2)).item<double>(), error.item<double>());
  EXPECT_EQ(pull->Error(2, {0}, features.slice(0, 0, 1)).item<double>(), 0.0);
  EXPECT_EQ(references.Statistics()->mean.sizes(), at::IntArrayRef({8}));
  EXPECT_TRUE(at::equal(references.Counted(), references.values.slice(0, 1, 8, 2)));
}

// What has come to lie where real pictures' features do is pulled at no more.
TEST_F(FeaturePullTest, FadesAsTheSamplersPicturesBecomeLikeRealOnes) {
  const PictureFeatures references = Features(400, {1.0});
  const auto pull = FeaturePull::Create(real_, references).value();
  const at::Tensor moved =
      Transport(references.values, references.Statistics().value(), real_.statistics());
  EXPECT_GT(pull->Error(0, All(400), moved).item<double>(), 0.1);
  pull->Settle();
  EXPECT_LT(pull->Error(0, All(400), moved).item<double>(), 1e-3);
}

TEST_F(FeaturePullTest, DistanceIsTheFrechetDistanceRelativeToTheReferences) {
  const PictureFeatures references = Features(40, {1.0});
  const auto pull = FeaturePull::Create(real_, references).value();
  const at::Tensor features = 1.1 * references.values + 0.1 * at::randn({40, 8});
  EXPECT_NEAR(pull->Distance(features, references.values),
              Distance(features) / Distance(references.values), 1e-6);
}

// A few pictures vary less than many do: by themselves they would be far from real ones.
TEST_F(FeaturePullTest, DistanceOfAFewPicturesIsThatOfManyWhichDifferAsTheyDo) {
  const at::Tensor noise = at::randn({400, 8}, at::kDouble);
  const at::Tensor like_real = Transport(noise, StatisticsOf(noise), real_.statistics());
  const PictureFeatures references = {like_real + 1.0, at::ones({400}, at::kBool)};
  const auto pull = FeaturePull::Create(real_, references).value();
  const auto few = [](const at::Tensor& all) { return all.slice(0, 0, 4); };
  const at::Tensor half_way = like_real + 0.5;
  EXPECT_NEAR(pull->Distance(few(half_way), few(references.values)), 0.25, 1e-6);
  EXPECT_NEAR(pull->Distance(few(like_real), few(references.values)), 0.0, 1e-6);
  EXPECT_GT(Distance(few(like_real)) / Distance(references.values), 1e-3);
}

TEST_F(FeaturePullTest, DoesNotDependOnTheOrderOfCallsBetweenSettles) {
  const PictureFeatures references = Features(8, {1.0});
  const at::Tensor features = references.values + at::randn({8, 8});
  const auto first = FeaturePull::Create(real_, references).value();
  const auto second = FeaturePull::Create(real_, references).value();
  const auto call = [&](FeaturePull& pull, int64_t turn) {
    return pull.Error(turn, {2 * turn, 2 * turn + 1}, features.slice(0, 2 * turn, 2 * turn + 2))
        .item<double>();
  };
  for (const int64_t turn : {0, 1, 2, 3}) call(*first, turn);
  for (const int64_t turn : {2, 0, 3, 1}) call(*second, turn);
  first->Settle();
  second->Settle();
  EXPECT_GT(first->shift().abs().sum().item<double>(), 0.0);
  EXPECT_TRUE(at::equal(first->shift(), second->shift()));
}

TEST_F(FeaturePullTest, NeedsTwoImagesThatCount) {
  EXPECT_THAT(std::string(FeaturePull::Create(real_, Features(2, {1.0, 2.0})).status().message()),
              HasSubstr("two images"));
}

TEST_F(FeaturePullTest, TheClassifierKnowsPicturesAsLargeAsTheModels) {
  EXPECT_THAT(std::string(RealFeatures::Load(SmallClassifier("feature_pull"), data_, 16, at::kCPU)
                              .status()
                              .message()),
              HasSubstr("knows pictures of side 8, the model's have 16"));
}

}  // namespace
}  // namespace ilf
