#include "engine/image/preview_colour.h"

#include <gtest/gtest.h>

#include <limits>
#include <vector>

namespace ilf {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

TEST(PreviewColourTest, MapsEachPositionOfTheLatent) {
  // Red is channel 0, blue is minus channel 1, green is the bias.
  PreviewColour colour{{{1.0f, 0.0f, 0.0f}, {0.0f, 0.0f, -1.0f}}, {0.0f, 1.0f, 0.0f}};
  const std::vector<float> latent = {-1.0f, 0.0f, 1.0f,  5.0f, -5.0f, kNan,   // channel 0, 2 x 3
                                     0.0f,  1.0f, -1.0f, 0.0f, 0.0f,  0.0f};  // channel 1
  const auto image = ColourLatent(colour, latent, 2, 3);
  ASSERT_TRUE(image.ok()) << image.status();
  EXPECT_EQ(image->width, 3);
  EXPECT_EQ(image->height, 2);
  EXPECT_EQ(image->pixels, (std::vector<uint8_t>{0, 255, 128, 128, 255, 0, 255, 255, 255,  //
                                                 255, 255, 128, 0, 255, 128, 0, 0, 0}));
}

// Expected: the published table on the unit latent of each channel, as (v / 2 + 0.5) * 255.
TEST(PreviewColourTest, KnowsTheStableDiffusionTable) {
  const auto colour = KnownPreviewColour(0.18215, 4);
  ASSERT_TRUE(colour.has_value());
  const std::vector<float> latent = {1, 0, 0, 0,   //
                                     0, 1, 0, 0,   //
                                     0, 0, 1, 0,   //
                                     0, 0, 0, 1};  // [4, 1, 4]
  EXPECT_EQ(ColourLatent(*colour, latent, 1, 4)->pixels,
            (std::vector<uint8_t>{172, 157, 169, 169, 191, 157, 91, 150, 162, 100, 94, 36}));
}

TEST(PreviewColourTest, KnowsTheSdxlTableWithItsBias) {
  const auto colour = KnownPreviewColour(0.13025f, 4);
  ASSERT_TRUE(colour.has_value());
  const std::vector<float> latent(4, 0.0f);
  EXPECT_EQ(ColourLatent(*colour, latent, 1, 1)->pixels, (std::vector<uint8_t>{141, 125, 127}));
  const std::vector<float> first = {1, 0, 0, 0};
  EXPECT_EQ(ColourLatent(*colour, first, 1, 1)->pixels, (std::vector<uint8_t>{188, 179, 183}));
}

TEST(PreviewColourTest, KnowsNoTableForOtherAutoencoders) {
  EXPECT_FALSE(KnownPreviewColour(0.5, 4).has_value());
  EXPECT_FALSE(KnownPreviewColour(0.18215, 16).has_value());
}

TEST(PreviewColourTest, RefusesLatentsThatDoNotFit) {
  const PreviewColour colour = *KnownPreviewColour(0.18215, 4);
  const auto invalid = absl::StatusCode::kInvalidArgument;
  EXPECT_EQ(ColourLatent(colour, std::vector<float>(15), 2, 2).status().code(), invalid);
  EXPECT_EQ(ColourLatent(colour, std::vector<float>(12), 2, 2).status().code(), invalid);
  EXPECT_EQ(ColourLatent(colour, std::vector<float>(), 0, 2).status().code(), invalid);
}

}  // namespace
}  // namespace ilf
