#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/command/commands.h"
#include "client/command/event_json.h"
#include "client/command/exit_code.h"
#include "client/command/output_files.h"
#include "client/command/progress_view.h"
#include "client/command/terminal.h"

namespace ilf {
namespace {

// Previews that are asked for where they can be drawn and the caller did not say.
constexpr int kPreviewEverySteps = 2;

std::vector<std::string> Environment() {
  std::vector<std::string> entries;
  for (char** entry = environ; *entry != nullptr; ++entry) entries.emplace_back(*entry);
  return entries;
}

void WriteToStderr(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stderr);
  std::fflush(stderr);
}

class SilentView final : public ProgressView {
 public:
  void OnEvent(const v1::GenerateResponse&) override {}
};

std::unique_ptr<ProgressView> MakeView(ProgressMode mode, int images,
                                       const PictureTerminal& terminal) {
  switch (mode) {
    case ProgressMode::kTerminal:
      return std::make_unique<TerminalView>(images, &terminal, WriteToStderr);
    case ProgressMode::kPlain:
      return std::make_unique<PlainView>(images, WriteToStderr);
    default:
      return std::make_unique<SilentView>();
  }
}

// kAuto resolved. JSON lines are for programs: they get no progress unless they ask.
ProgressMode ModeOf(const GenerateCommand& command, const PictureTerminal& terminal) {
  if (command.progress != ProgressMode::kAuto) return command.progress;
  if (command.json) return ProgressMode::kOff;
  return isatty(STDERR_FILENO) && terminal.CanDraw() ? ProgressMode::kTerminal
                                                     : ProgressMode::kPlain;
}

// Runs one call and keeps what happened while it ran.
class Generation {
 public:
  Generation(const OutputFiles& files, bool json, std::unique_ptr<ProgressView> view)
      : files_(files), json_(json), view_(std::move(view)) {}

  // Returns the exit code.
  int Run(const GenerateCommand& command, v1::GenerateRequest request, std::stop_token stop) {
    const std::stop_callback forward(stop, [this] { stop_.request_stop(); });
    Client client(command.connection.client);
    const absl::Status call = client.Generate(
        request, [this](const v1::GenerateResponse& event) { OnEvent(event); }, stop_.get_token());
    view_->Close();
    if (!write_.ok()) {
      WriteToStderr(absl::StrCat("error: ", write_.message(), "\n"));
      return kExitCannotWrite;
    }
    ShowPaths();
    if (!call.ok()) WriteToStderr(ErrorText(call, command.connection));
    return ExitCodeOf(call);
  }

 private:
  void OnEvent(const v1::GenerateResponse& event) {
    if (!write_.ok()) return;
    view_->OnEvent(event);
    if (json_) Print(ToJsonLine(event));
    if (event.has_image()) Save(event.image());
  }

  void Save(const v1::ImageEvent& image) {
    auto path = files_.Write(image);
    if (!path.ok()) return Fail(std::move(path).status());
    if (!files_.ToStdout()) paths_.push_back(*std::move(path));
  }

  // Not while the view draws: both may be in one terminal.
  void ShowPaths() const {
    std::FILE* const stream = json_ ? stderr : stdout;
    for (const std::string& path : paths_) std::fprintf(stream, "%s\n", path.c_str());
    std::fflush(stream);
  }

  void Print(const std::string& line) {
    if (std::printf("%s\n", line.c_str()) < 0 || std::fflush(stdout) != 0) {
      Fail(absl::InternalError("cannot write to standard output"));
    }
  }

  // A picture that cannot be kept is not worth the server's time.
  void Fail(absl::Status status) {
    write_ = std::move(status);
    stop_.request_stop();
  }

  const OutputFiles& files_;
  const bool json_;
  const std::unique_ptr<ProgressView> view_;
  std::stop_source stop_;
  absl::Status write_;  // the first that failed
  std::vector<std::string> paths_;
};

}  // namespace

int RunGenerate(const GenerateCommand& command, std::stop_token stop) {
  const int images = std::max(1, command.request.image_count());
  const auto files = OutputFiles::Create(command.out, images);
  if (!files.ok()) {
    WriteToStderr(absl::StrCat("error: ", files.status().message(), "\n"));
    return absl::IsInvalidArgument(files.status()) ? kExitUsage : kExitCannotWrite;
  }
  const PictureTerminal terminal(Environment(), SizeOfTerminal(STDERR_FILENO));
  const ProgressMode mode = ModeOf(command, terminal);
  v1::GenerateRequest request = command.request;
  if (mode == ProgressMode::kTerminal && command.default_preview_side.has_value()) {
    request.mutable_preview()->set_every_n_steps(kPreviewEverySteps);
    request.mutable_preview()->set_max_side(*command.default_preview_side);
  }
  Generation generation(*files, command.json, MakeView(mode, images, terminal));
  return generation.Run(command, std::move(request), std::move(stop));
}

}  // namespace ilf
