#include "client/command/progress_view.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace ilf {
namespace {

constexpr int kBarWidth = 20;
constexpr int kPictureColumns = 32;  // character cells that one picture may take
// A new line of the terminal's, and what it held before is gone.
constexpr char kRewriteLine[] = "\r\x1b[K";

}  // namespace

void PlainView::OnEvent(const v1::GenerateResponse& event) {
  progress_.Take(event);
  if (event.has_step()) {
    const int tenths = progress_.Percent() / 10;
    if (tenths > tenths_) write_(absl::StrCat(progress_.Summary(), "\n"));
    tenths_ = tenths;
    return;
  }
  const std::string line = DescribeEvent(event);
  if (!line.empty()) write_(absl::StrCat(line, "\n"));
}

void TerminalView::OnEvent(const v1::GenerateResponse& event) {
  progress_.Take(event);
  if (event.has_preview()) ShowPicture(event.preview().image_index(), event.preview().data());
  if (event.has_image()) ShowPicture(event.image().image_index(), event.image().data());
  write_(absl::StrCat(kRewriteLine, StatusLine()));
  open_ = true;
  if (event.has_completed()) {
    Close();
    write_(absl::StrCat(DescribeEvent(event), "\n"));
  }
}

void TerminalView::Close() {
  if (open_) write_("\n");
  open_ = false;
  drawn_rows_ = 0;
}

void TerminalView::ShowPicture(int index, const std::string& bytes) {
  auto picture = DecodePicture(bytes);
  if (!picture.ok()) return;  // a picture that cannot be shown is no reason to stop
  grid_.Set(index, *std::move(picture));
  const cv::Mat grid = grid_.Compose();
  const int columns = std::min(terminal_->size().columns, kPictureColumns * grid_.Columns());
  const PictureTerminal::Drawing drawing =
      terminal_->Draw(grid, columns, std::max(1, terminal_->size().rows - 2));
  std::string text = kRewriteLine;
  if (drawn_rows_ > 0) absl::StrAppend(&text, "\x1b[", drawn_rows_, "A\x1b[J");
  write_(absl::StrCat(text, drawing.text));
  drawn_rows_ = drawing.rows;
}

std::string TerminalView::StatusLine() const {
  const int filled = kBarWidth * progress_.Percent() / 100;
  return absl::StrCat("[", std::string(filled, '='), std::string(kBarWidth - filled, ' '), "] ",
                      progress_.Summary());
}

}  // namespace ilf
