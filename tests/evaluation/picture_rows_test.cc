#include "engine/evaluation/picture_rows.h"

#include <array>

#include <torch/types.h>

#include <gtest/gtest.h>

#include "engine/image/codec.h"
#include "engine/image/sample_sheet.h"
#include "tests/testing/temp_path.h"

namespace ilf {
namespace {

// Pictures of one grey each.
at::Tensor Greys(const std::vector<float>& greys, int64_t side) {
  const int64_t count = static_cast<int64_t>(greys.size());
  return at::tensor(greys).view({count, 1, 1, 1}).expand({count, 3, side, side});
}

TEST(PictureRowsTest, PixelsBecomeSquaresAndKeepTheirValues) {
  const at::Tensor picture = at::arange(3 * 24 * 24, at::kFloat).view({1, 3, 24, 24}) / 2000;
  const at::Tensor enlarged = Enlarged(picture);
  EXPECT_EQ(enlarged.sizes(), (std::vector<int64_t>{1, 3, 72, 72}));
  for (const int64_t dy : {0, 1, 2}) {
    for (const int64_t dx : {0, 1, 2}) {
      const at::Tensor part = enlarged.slice(2, dy, 72, 3).slice(3, dx, 72, 3);
      EXPECT_TRUE(at::equal(part, picture));
    }
  }
}

TEST(PictureRowsTest, LargePicturesStayAsTheyAre) {
  const at::Tensor picture = at::zeros({1, 3, 64, 100});
  EXPECT_TRUE(at::equal(Enlarged(picture), picture));
}

TEST(PictureRowsTest, ARowLiesBesideItsLabelAndBelowTheRowBeforeIt) {
  const std::string file = TestPath("folder") + "/rows.png";
  const absl::Status status = WritePictureRows(
      {{"first", Greys({-1.0f, 0.0f, 1.0f}, 32)}, {"second", Greys({0.2f, 0.4f, 0.6f}, 32)}}, file);
  ASSERT_TRUE(status.ok()) << status;
  const RgbBuffer sheet = ReadImage(file).value();
  const int padding = SheetOptions().padding;
  const int cell = 64 + padding;
  const int labels = sheet.width - padding - 3 * cell;
  EXPECT_GT(labels, 0);
  ASSERT_EQ(sheet.height, padding + 2 * cell);
  const auto grey = [&](int row, int column) {
    const int x = labels + padding + column * cell + 32;
    const int y = padding + row * cell + 32;
    return static_cast<int>(sheet.pixels[3 * (y * sheet.width + x)]);
  };
  const std::array<std::array<int, 3>, 2> expected = {{{0, 128, 255}, {153, 179, 204}}};
  for (int row = 0; row < 2; ++row) {
    for (int column = 0; column < 3; ++column) {
      EXPECT_NEAR(grey(row, column), expected[row][column], 1) << row << ", " << column;
    }
  }
}

TEST(PictureRowsTest, RefusesNoRowsAndUnequalRows) {
  EXPECT_EQ(WritePictureRows({}, TestPath("none.png")).code(), absl::StatusCode::kInvalidArgument);
  const absl::Status unequal = WritePictureRows(
      {{"a", Greys({0.0f}, 8)}, {"b", Greys({0.0f, 0.0f}, 8)}}, TestPath("unequal.png"));
  EXPECT_EQ(unequal.code(), absl::StatusCode::kInvalidArgument);
}

TEST(PictureRowsTest, TellsWhatFitsBeforeItIsMade) {
  EXPECT_TRUE(CheckRowsFit(248, 10, 32).ok());  // 248 * 66 + 2 = 16370 pixels
  EXPECT_FALSE(CheckRowsFit(249, 10, 32).ok());
  EXPECT_FALSE(CheckRowsFit(1, 240, 32).ok());
  EXPECT_FALSE(CheckRowsFit(33, 10, 512).ok());
}

}  // namespace
}  // namespace ilf
