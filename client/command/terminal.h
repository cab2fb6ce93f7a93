// What the terminal at the other end can show, and pictures in its own language.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "opencv2/core/mat.hpp"

struct ChafaTermInfo;

namespace ilf {

struct TerminalSize {
  int columns = 80;
  int rows = 24;
  int pixel_width = 0;  // of the whole window; 0 = not known
  int pixel_height = 0;
};

// The size of the terminal behind a file descriptor; the defaults where it tells none.
TerminalSize SizeOfTerminal(int descriptor);

// Draws pictures through libchafa: as pixels where the terminal knows the kitty or the sixel
// protocol and tells its size in pixels, else with coloured characters. Not thread-safe.
class PictureTerminal {
 public:
  // `environment`: NAME=VALUE strings; TERM, COLORTERM and the like tell what the terminal knows.
  PictureTerminal(const std::vector<std::string>& environment, TerminalSize size);

  // False for a terminal that cannot move its cursor (TERM=dumb, or none): nothing should be drawn
  // there.
  bool CanDraw() const { return can_draw_; }

  struct Drawing {
    std::string text;  // to be written at the start of a line; ends with a line break
    int rows = 0;      // how many lines down the cursor is afterwards
  };
  // The picture, as large as fits into `max_columns` and `max_rows` character cells.
  Drawing Draw(const cv::Mat& rgb, int max_columns, int max_rows) const;

  const TerminalSize& size() const { return size_; }

 private:
  struct UnrefTermInfo {
    void operator()(ChafaTermInfo* info) const;
  };

  const TerminalSize size_;
  bool can_draw_ = false;
  std::unique_ptr<ChafaTermInfo, UnrefTermInfo> info_;
  int canvas_mode_ = 0;  // ChafaCanvasMode
  int pixel_mode_ = 0;   // ChafaPixelMode
};

}  // namespace ilf
