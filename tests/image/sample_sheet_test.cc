#include "engine/image/sample_sheet.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <vector>

#include "tests/image/pictures.h"

namespace ilf {
namespace {

using Pixel = std::array<uint8_t, 3>;

constexpr Pixel kWhite = {255, 255, 255};
constexpr Pixel kRed = {255, 0, 0};
constexpr Pixel kGreen = {0, 255, 0};
constexpr Pixel kBlue = {0, 0, 255};

RgbBuffer Square(int side, const Pixel& pixel) {
  return Flat(side, side, pixel[0], pixel[1], pixel[2]);
}

Pixel At(const RgbBuffer& picture, int x, int y) {
  const uint8_t* pixel = &picture.pixels[RgbBytes(picture.width, y) + 3 * x];
  return {pixel[0], pixel[1], pixel[2]};
}

TEST(TileImagesTest, FillsRowsAndLeavesTheRestWhite) {
  const RgbBuffer red = Square(4, kRed), green = Square(4, kGreen), blue = Square(4, kBlue);
  const std::vector<RgbView> images = {red.view(), green.view(), blue.view()};
  const auto sheet = TileImages(images, {.columns = 2, .padding = 3, .row_labels = {}});
  ASSERT_TRUE(sheet.ok()) << sheet.status();
  EXPECT_EQ(sheet->width, 3 + 2 * (4 + 3));
  EXPECT_EQ(sheet->height, 3 + 2 * (4 + 3));
  EXPECT_EQ(At(*sheet, 2, 3), kWhite);
  EXPECT_EQ(At(*sheet, 3, 3), kRed);
  EXPECT_EQ(At(*sheet, 6, 6), kRed);
  EXPECT_EQ(At(*sheet, 7, 6), kWhite);
  EXPECT_EQ(At(*sheet, 10, 3), kGreen);
  EXPECT_EQ(At(*sheet, 3, 10), kBlue);
  EXPECT_EQ(At(*sheet, 10, 10), kWhite);
}

TEST(TileImagesTest, LabelsStandLeftOfTheirRow) {
  const RgbBuffer red = Square(32, kRed);
  const std::vector<RgbView> images(3, red.view());
  const auto plain = TileImages(images, {.columns = 1, .padding = 2, .row_labels = {}});
  const auto sheet =
      TileImages(images, {.columns = 1, .padding = 2, .row_labels = {"boot", "bag"}});
  ASSERT_TRUE(sheet.ok()) << sheet.status();
  EXPECT_EQ(sheet->height, plain->height);
  const int labels = sheet->width - plain->width;
  ASSERT_GT(labels, 20);
  std::array<int, 3> inked = {0, 0, 0};  // by row
  for (int y = 0; y < sheet->height; ++y) {
    for (int x = 0; x < labels; ++x) {
      if (At(*sheet, x, y) != kWhite) ++inked[std::min(2, y / 34)];
    }
  }
  EXPECT_GT(inked[0], 20);
  EXPECT_GT(inked[1], 20);
  EXPECT_EQ(inked[2], 0) << "the third row has no label";
  EXPECT_EQ(At(*sheet, labels + 2, 2), kRed) << "a label must not run into the pictures";
}

TEST(TileImagesTest, RefusesWhatMakesNoSheet) {
  const RgbBuffer small = Square(4, kRed), large = Square(5, kRed);
  const auto invalid = absl::StatusCode::kInvalidArgument;
  const auto code = [](const std::vector<RgbView>& images, const SheetOptions& options) {
    return TileImages(images, options).status().code();
  };
  EXPECT_EQ(code({}, {}), invalid);
  EXPECT_EQ(code({small.view(), large.view()}, {}), invalid);
  EXPECT_EQ(code({{4, 4, nullptr}}, {}), invalid);
  EXPECT_EQ(code({small.view()}, {.columns = 0, .padding = 2, .row_labels = {}}), invalid);
  EXPECT_EQ(code({small.view()}, {.columns = 1, .padding = -1, .row_labels = {}}), invalid);
  EXPECT_EQ(code({small.view()}, {.columns = 1, .padding = kMaxImageSide, .row_labels = {}}),
            invalid);
}

}  // namespace
}  // namespace ilf
