// Shows a request to the person who waits for it.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "client/command/picture.h"
#include "client/command/progress.h"
#include "client/command/terminal.h"
#include "ilf/v1/image_generation.pb.h"

namespace ilf {

enum class ProgressMode {
  kAuto,      // kTerminal where standard error is one that can draw, else kPlain
  kTerminal,  // pictures and a line that is rewritten
  kPlain,     // lines
  kOff,
};

using TextWriter = std::function<void(const std::string& text)>;

// Not thread-safe.
class ProgressView {
 public:
  virtual ~ProgressView() = default;
  virtual void OnEvent(const v1::GenerateResponse& event) = 0;
  // Leaves the cursor at the start of an empty line; other text may be written afterwards.
  virtual void Close() {}
};

// One line for what matters, and one whenever another tenth of the steps is done. Never previews.
class PlainView final : public ProgressView {
 public:
  PlainView(int images, TextWriter write) : progress_(images), write_(std::move(write)) {}
  void OnEvent(const v1::GenerateResponse& event) override;

 private:
  Progress progress_;
  const TextWriter write_;
  int tenths_ = 0;  // the last that was told
};

// The latest picture of every image, and below it one line with a bar; both are rewritten in place.
class TerminalView final : public ProgressView {
 public:
  // `terminal` must outlive the view.
  TerminalView(int images, const PictureTerminal* terminal, TextWriter write)
      : progress_(images), grid_(images), terminal_(terminal), write_(std::move(write)) {}
  void OnEvent(const v1::GenerateResponse& event) override;
  void Close() override;

 private:
  void ShowPicture(int index, const std::string& bytes);
  std::string StatusLine() const;

  Progress progress_;
  PictureGrid grid_;
  const PictureTerminal* const terminal_;
  const TextWriter write_;
  int drawn_rows_ = 0;  // lines of pictures above the status line
  bool open_ = false;   // the cursor stands behind the status line
};

}  // namespace ilf
