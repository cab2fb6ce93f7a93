#include "engine/image/codec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "tests/image/pictures.h"

namespace ilf {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

// A 2 x 1 PNG, red then blue, that Python's zlib made: no encoder of ours had a part in it.
constexpr unsigned char kRedBluePng[] = {
    0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0x00, 0x00, 0x00, 0x0d, 0x49, 0x48,
    0x44, 0x52, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x01, 0x08, 0x02, 0x00, 0x00,
    0x00, 0x7b, 0x40, 0xe8, 0xdd, 0x00, 0x00, 0x00, 0x0d, 0x49, 0x44, 0x41, 0x54, 0x78,
    0x9c, 0x63, 0xf8, 0xcf, 0x00, 0x04, 0xff, 0x01, 0x07, 0x00, 0x01, 0xff, 0xe2, 0x23,
    0x9e, 0x59, 0x00, 0x00, 0x00, 0x00, 0x49, 0x45, 0x4e, 0x44, 0xae, 0x42, 0x60, 0x82};

TEST(DecodeImageTest, GivesRedGreenBlueInThisOrder) {
  const auto decoded = DecodeImage(
      absl::string_view(reinterpret_cast<const char*>(kRedBluePng), sizeof(kRedBluePng)));
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  EXPECT_EQ(decoded->width, 2);
  EXPECT_EQ(decoded->height, 1);
  EXPECT_EQ(decoded->pixels, (std::vector<uint8_t>{255, 0, 0, 0, 0, 255}));
}

TEST(PngTest, KeepsEveryPixel) {
  for (const auto& [width, height] : {std::pair(1, 1), {5, 3}, {32, 32}, {640, 1}}) {
    const RgbBuffer picture = Gradient(width, height);
    const auto bytes = EncodePng(picture.view());
    ASSERT_TRUE(bytes.ok()) << bytes.status();
    EXPECT_THAT(*bytes, StartsWith("\x89PNG"));
    const auto decoded = DecodeImage(*bytes);
    ASSERT_TRUE(decoded.ok()) << decoded.status();
    EXPECT_EQ(Difference(*decoded, picture), 0);
  }
}

TEST(PngTest, TheSamePixelsGiveTheSameBytes) {
  EXPECT_EQ(*EncodePng(Gradient(64, 48).view()), *EncodePng(Gradient(64, 48).view()));
}

TEST(PngTest, RefusesPicturesWithoutPixelsOrOfWrongSize) {
  const RgbBuffer picture = Flat(1, 1, 0, 0, 0);
  EXPECT_EQ(EncodePng({1, 1, nullptr}).status().code(), kInvalid);
  EXPECT_EQ(EncodePng({0, 1, picture.pixels.data()}).status().code(), kInvalid);
  EXPECT_EQ(EncodePng({1, -1, picture.pixels.data()}).status().code(), kInvalid);
  EXPECT_EQ(EncodePng({kMaxImageSide + 1, 1, picture.pixels.data()}).status().code(), kInvalid);
}

TEST(JpegTest, StaysCloseToASmoothPicture) {
  const RgbBuffer picture = Gradient(64, 64);
  const auto bytes = EncodeJpeg(picture.view(), 95);
  ASSERT_TRUE(bytes.ok()) << bytes.status();
  EXPECT_THAT(*bytes, StartsWith("\xff\xd8\xff"));
  EXPECT_LE(Difference(*DecodeImage(*bytes), picture), 12);
}

TEST(JpegTest, LowerQualityTakesFewerBytes) {
  const RgbBuffer picture = Gradient(128, 128);
  EXPECT_LT(EncodeJpeg(picture.view(), 20)->size(), EncodeJpeg(picture.view(), 95)->size());
}

TEST(JpegTest, RefusesQualityOutOfRange) {
  const RgbBuffer picture = Flat(8, 8, 0, 0, 0);
  EXPECT_EQ(EncodeJpeg(picture.view(), 0).status().code(), kInvalid);
  EXPECT_EQ(EncodeJpeg(picture.view(), 101).status().code(), kInvalid);
}

TEST(DecodeImageTest, RefusesWhatIsNoPicture) {
  EXPECT_EQ(DecodeImage("").status().code(), kInvalid);
  EXPECT_EQ(DecodeImage("not a picture").status().code(), kInvalid);
  const std::string png = *EncodePng(Gradient(16, 16).view());
  EXPECT_EQ(DecodeImage(png.substr(0, 20)).status().code(), kInvalid);
}

TEST(ReadImageTest, ReadsAFileAndNamesItInErrors) {
  const std::string path = testing::TempDir() + "/picture.png";
  const RgbBuffer picture = Gradient(7, 5);
  std::ofstream(path, std::ios::binary) << *EncodePng(picture.view());
  EXPECT_EQ(Difference(*ReadImage(path), picture), 0);

  std::ofstream(path, std::ios::binary) << "no picture";
  EXPECT_EQ(ReadImage(path).status().code(), kInvalid);
  EXPECT_THAT(std::string(ReadImage(path).status().message()), HasSubstr(path));

  const auto missing = ReadImage(path + ".missing");
  EXPECT_EQ(missing.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(missing.status().message()), HasSubstr(path));
}

}  // namespace
}  // namespace ilf
