#include "engine/image/resize.h"

#include <gtest/gtest.h>

#include "tests/image/pictures.h"

namespace ilf {
namespace {

TEST(FitMaxSideTest, KeepsTheAspect) {
  const auto fits = [](PixelSize size, int side, PixelSize expected) {
    const PixelSize fitted = FitMaxSide(size, side);
    return fitted.width == expected.width && fitted.height == expected.height;
  };
  EXPECT_TRUE(fits({32, 32}, 64, {64, 64}));
  EXPECT_TRUE(fits({64, 32}, 128, {128, 64}));
  EXPECT_TRUE(fits({30, 60}, 20, {10, 20}));
  EXPECT_TRUE(fits({48, 32}, 0, {48, 32}));
  EXPECT_TRUE(fits({1000, 1}, 10, {10, 1}));
}

TEST(ResizeTest, AFlatPictureStaysFlatAtEverySize) {
  const RgbBuffer picture = Flat(12, 8, 200, 100, 50);
  for (const PixelSize size : {PixelSize{12, 8}, {6, 4}, {24, 16}, {5, 20}, {20, 3}, {1, 1}}) {
    const auto resized = Resize(picture.view(), size);
    ASSERT_TRUE(resized.ok()) << resized.status();
    EXPECT_EQ(Difference(*resized, Flat(size.width, size.height, 200, 100, 50)), 0)
        << size.width << "x" << size.height;
  }
}

TEST(ResizeTest, TheSameSizeKeepsEveryPixel) {
  const RgbBuffer picture = Gradient(9, 7);
  EXPECT_EQ(Difference(*Resize(picture.view(), {9, 7}), picture), 0);
}

TEST(ResizeTest, ShrinkingAveragesAreas) {
  RgbBuffer picture = Flat(4, 2, 0, 0, 0);
  for (const int bright : {0, 3}) picture.pixels[3 * bright] = 200;  // red of two pixels of row 0
  const RgbBuffer halved = *Resize(picture.view(), {2, 1});
  EXPECT_EQ(halved.pixels, (std::vector<uint8_t>{50, 0, 0, 50, 0, 0}));
}

TEST(ResizeTest, EnlargingKeepsRampsSmooth) {
  const RgbBuffer enlarged = *Resize(Gradient(8, 8).view(), {64, 64});
  for (int x = 1; x < 64; ++x) {
    const int step = enlarged.pixels[3 * x] - enlarged.pixels[3 * (x - 1)];
    EXPECT_LE(std::abs(step), 8) << "blocks would jump by 32";
  }
}

TEST(ResizeTest, RefusesImpossibleSizes) {
  const RgbBuffer picture = Flat(4, 4, 0, 0, 0);
  const auto invalid = absl::StatusCode::kInvalidArgument;
  EXPECT_EQ(Resize(picture.view(), {0, 4}).status().code(), invalid);
  EXPECT_EQ(Resize(picture.view(), {4, kMaxImageSide + 1}).status().code(), invalid);
  EXPECT_EQ(Resize({4, 4, nullptr}, {4, 4}).status().code(), invalid);
}

}  // namespace
}  // namespace ilf
