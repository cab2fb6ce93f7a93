#include "client/command/terminal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

namespace ilf {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr TerminalSize kCells = {.columns = 80, .rows = 24};
constexpr TerminalSize kPixels = {
    .columns = 80, .rows = 24, .pixel_width = 800, .pixel_height = 480};

std::string DrawRed(const std::vector<std::string>& environment, TerminalSize size) {
  const cv::Mat red(16, 16, CV_8UC3, cv::Scalar(255, 0, 0));
  return PictureTerminal(environment, size).Draw(red, 10, 10).text;
}

TEST(PictureTerminalTest, DrawsNothingWhereTheCursorCannotMove) {
  EXPECT_FALSE(PictureTerminal({}, kCells).CanDraw());
  EXPECT_FALSE(PictureTerminal({"TERM=dumb"}, kCells).CanDraw());
  EXPECT_TRUE(PictureTerminal({"TERM=xterm-256color"}, kCells).CanDraw());
}

TEST(PictureTerminalTest, UsesTheColoursThatTheTerminalKnows) {
  EXPECT_THAT(DrawRed({"TERM=xterm-256color"}, kCells), HasSubstr("8;2;255;0;0"));
  EXPECT_THAT(DrawRed({"TERM=linux"}, kCells), Not(HasSubstr("8;2;255;0;0")));
}

TEST(PictureTerminalTest, UsesPixelsOnlyWhereTheirSizeIsKnown) {
  EXPECT_THAT(DrawRed({"TERM=xterm-kitty"}, kPixels), HasSubstr("\x1b_G"));
  EXPECT_THAT(DrawRed({"TERM=xterm-kitty"}, kCells), Not(HasSubstr("\x1b_G")));
  EXPECT_THAT(DrawRed({"TERM=foot"}, kPixels), HasSubstr("\x1bP"));
}

TEST(PictureTerminalTest, KeepsTheAspectAndCountsItsLines) {
  const PictureTerminal terminal({"TERM=xterm-256color"}, kCells);
  const cv::Mat square(16, 16, CV_8UC3, cv::Scalar(0, 255, 0));
  const PictureTerminal::Drawing drawing = terminal.Draw(square, 20, 20);
  EXPECT_EQ(drawing.rows, 10);  // a character is twice as high as wide
  EXPECT_EQ(std::count(drawing.text.begin(), drawing.text.end(), '\n'), drawing.rows);
  EXPECT_EQ(terminal.Draw(square, 80, 5).rows, 5);
}

}  // namespace
}  // namespace ilf
