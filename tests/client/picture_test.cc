#include "client/command/picture.h"

#include <gtest/gtest.h>

#include "tests/client/scripted_server.h"

namespace ilf {
namespace {

cv::Mat Solid(int width, int height, const cv::Vec3b& colour) {
  return cv::Mat(height, width, CV_8UC3, colour);
}

TEST(DecodePictureTest, GivesRedFirst) {
  const auto picture = DecodePicture(SolidPng(5, 3, 200, 100, 50));
  ASSERT_TRUE(picture.ok()) << picture.status();
  EXPECT_EQ(picture->size(), cv::Size(5, 3));
  EXPECT_EQ(picture->at<cv::Vec3b>(2, 4), cv::Vec3b(200, 100, 50));
}

TEST(DecodePictureTest, RefusesWhatIsNoPicture) {
  EXPECT_FALSE(DecodePicture("").ok());
  EXPECT_FALSE(DecodePicture("not a picture").ok());
  EXPECT_FALSE(DecodePicture(SolidPng(8, 8, 1, 2, 3).substr(0, 20)).ok());
}

TEST(PictureGridTest, PutsPicturesIntoTheirCells) {
  PictureGrid grid(6);
  grid.Set(0, Solid(8, 8, {255, 0, 0}));
  grid.Set(5, Solid(8, 8, {0, 0, 255}));
  const cv::Mat composed = grid.Compose();
  ASSERT_EQ(composed.size(), cv::Size(32, 16));
  EXPECT_EQ(composed.at<cv::Vec3b>(4, 4), cv::Vec3b(255, 0, 0));
  EXPECT_EQ(composed.at<cv::Vec3b>(12, 12), cv::Vec3b(0, 0, 255));
  EXPECT_EQ(composed.at<cv::Vec3b>(4, 12), cv::Vec3b(0, 0, 0));
}

TEST(PictureGridTest, LatestPictureOfAnImageCounts) {
  PictureGrid grid(1);
  grid.Set(0, Solid(4, 4, {1, 1, 1}));
  grid.Set(0, Solid(8, 8, {2, 2, 2}));
  EXPECT_EQ(grid.Compose().size(), cv::Size(8, 8));
  EXPECT_EQ(grid.Compose().at<cv::Vec3b>(0, 0), cv::Vec3b(2, 2, 2));
}

TEST(PictureGridTest, SmallPictureFillsItsCell) {
  PictureGrid grid(2);
  grid.Set(0, Solid(16, 16, {9, 9, 9}));
  grid.Set(1, Solid(4, 4, {7, 7, 7}));
  EXPECT_EQ(grid.Compose().at<cv::Vec3b>(15, 31), cv::Vec3b(7, 7, 7));
}

TEST(PictureGridTest, IgnoresAnIndexThatDoesNotExist) {
  PictureGrid grid(1);
  grid.Set(0, Solid(4, 4, {1, 1, 1}));
  grid.Set(-1, Solid(4, 4, {2, 2, 2}));
  grid.Set(1, Solid(4, 4, {2, 2, 2}));
  EXPECT_EQ(grid.Compose().at<cv::Vec3b>(0, 0), cv::Vec3b(1, 1, 1));
}

}  // namespace
}  // namespace ilf
