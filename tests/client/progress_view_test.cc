#include "client/command/progress_view.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/client/scripted_server.h"

namespace ilf {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;

class ProgressViewTest : public ::testing::Test {
 protected:
  TextWriter Writer() {
    return [this](const std::string& text) { written_ += text; };
  }
  std::string Take() { return std::exchange(written_, ""); }

  const PictureTerminal terminal_{{"TERM=xterm-256color"}, {.columns = 80, .rows = 24}};
  std::string written_;
};

TEST_F(ProgressViewTest, PlainViewWritesLinesWithoutControlCharacters) {
  PlainView view(1, Writer());
  view.OnEvent(QueuedEvent());
  view.OnEvent(StartedEvent());
  view.OnEvent(PreviewEvent(0, 1, 2, SolidPng(4, 4, 1, 2, 3)));
  view.OnEvent(StepEvent(0, 1, 2));
  view.OnEvent(CompletedEvent(1));
  EXPECT_EQ(Take(),
            "request r1 for fashion is queued, 0 images ahead\n"
            "started after 0.25 s\n"
            "50 %, step 1 of 2\n"
            "1 image in 2.00 s\n");
}

TEST_F(ProgressViewTest, PlainViewTellsEveryTenthOnce) {
  PlainView view(1, Writer());
  view.OnEvent(StartedEvent());
  Take();
  for (int step = 1; step <= 100; ++step) view.OnEvent(StepEvent(0, step, 100));
  const std::string written = Take();
  EXPECT_EQ(std::count(written.begin(), written.end(), '\n'), 10) << written;
}

TEST_F(ProgressViewTest, TerminalViewRewritesItsLine) {
  TerminalView view(1, &terminal_, Writer());
  view.OnEvent(StartedEvent());
  Take();
  view.OnEvent(StepEvent(0, 10, 20));
  EXPECT_EQ(Take(), "\r\x1b[K[==========          ] 50 %, step 10 of 20");
}

TEST_F(ProgressViewTest, TerminalViewDrawsTheNewestPictureOverTheOlder) {
  TerminalView view(1, &terminal_, Writer());
  const std::string picture = SolidPng(8, 8, 255, 0, 0);
  view.OnEvent(PreviewEvent(0, 1, 2, picture));
  EXPECT_THAT(Take(), Not(HasSubstr("A\x1b[J")));  // nothing to go back over yet
  view.OnEvent(ImageEvent(0, 2, picture));
  EXPECT_THAT(Take(), HasSubstr("\x1b[16A\x1b[J"));  // 32 columns wide: 16 lines up
}

TEST_F(ProgressViewTest, TerminalViewIgnoresPicturesThatDoNotDecode) {
  TerminalView view(1, &terminal_, Writer());
  view.OnEvent(StartedEvent());
  Take();
  view.OnEvent(PreviewEvent(0, 1, 2, "no picture"));
  EXPECT_EQ(Take(), "\r\x1b[K[                    ] started");
}

TEST_F(ProgressViewTest, TerminalViewLeavesAnEmptyLine) {
  TerminalView view(1, &terminal_, Writer());
  view.OnEvent(StartedEvent());
  view.Close();
  EXPECT_THAT(Take(), EndsWith("started\n"));
  view.Close();
  EXPECT_EQ(Take(), "");
}

}  // namespace
}  // namespace ilf
