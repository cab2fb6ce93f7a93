#include "engine/training/feature_targets.h"

#include <filesystem>

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

class FeatureTargetsTest : public ::testing::Test {
 protected:
  ~FeatureTargetsTest() override { std::filesystem::remove_all(model_); }

  // `images` latents whose guidance scales take turns.
  static Reference Latents(int64_t images, const std::vector<double>& scales) {
    Reference reference;
    reference.states = at::randn({1, images, 4, 4, 4});
    for (int64_t i = 0; i < images; ++i) {
      reference.subjects.push_back({});
      reference.guidance_scales.push_back(scales[i % scales.size()]);
    }
    return reference;
  }

  const std::string model_ = SmallModelDirectory("feature_targets");
  const AutoencoderKl autoencoder_ = LoadAutoencoder(model_, at::kCPU).value();
  const std::string data_ = SmallDataset("feature_targets", 12, 8);
  const RealFeatures real_ =
      RealFeatures::Load(SmallClassifier("feature_targets"), data_, 8, at::kCPU).value();
};

TEST_F(FeatureTargetsTest, HaveTheStatisticsOfRealPictures) {
  const PictureFeatures own = real_.Of(Latents(40, {1.0}), autoencoder_);
  const PictureFeatures targets = real_.TargetsOf(own, own.Statistics().value());
  EXPECT_LT(real_.Distance(targets).value(), 1e-3 * real_.Distance(own).value());
}

TEST_F(FeatureTargetsTest, ImagesOfTheLeastGuidanceScaleCountAlone) {
  const PictureFeatures own = real_.Of(Latents(8, {2.5, 1.0}), autoencoder_);
  at::Tensor features = own.values.clone();
  features.slice(0, 0, 8, 2).fill_(100.0);  // guided
  EXPECT_EQ(FeatureError(features, own).item<double>(), 0.0);
  EXPECT_TRUE(at::equal(PictureFeatures{features, own.counts}.Statistics()->covariance,
                        own.Statistics()->covariance));
  features[3] += 1.0;  // each of 8 features of one of four images
  EXPECT_NEAR(FeatureError(features, own).item<double>(), 8.0 / 4.0, 1e-5);
  EXPECT_NEAR(FeatureError(features.slice(0, 3, 4), own.Select({3})).item<double>(), 8.0, 1e-5);
  EXPECT_EQ(FeatureError(features.slice(0, 0, 1), own.Select({0})).item<double>(), 0.0);
}

TEST_F(FeatureTargetsTest, NeedTwoImagesThatCount) {
  const PictureFeatures own = real_.Of(Latents(2, {1.0, 2.0}), autoencoder_);
  EXPECT_THAT(std::string(own.Statistics().status().message()), HasSubstr("two images"));
}

TEST_F(FeatureTargetsTest, TheClassifierKnowsPicturesAsLargeAsTheModels) {
  EXPECT_THAT(
      std::string(RealFeatures::Load(SmallClassifier("feature_targets"), data_, 16, at::kCPU)
                      .status()
                      .message()),
      HasSubstr("knows pictures of side 8, the model's have 16"));
}

}  // namespace
}  // namespace ilf
