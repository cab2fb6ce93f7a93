#include "client/command/output_files.h"

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <system_error>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

namespace ilf {
namespace {

namespace fs = std::filesystem;

bool HasPlaceholder(const std::string& name) {
  return absl::StrContains(name, "{index}") || absl::StrContains(name, "{seed}");
}

std::string PatternOf(const std::string& out, int image_count) {
  std::error_code ignored;
  if (absl::EndsWith(out, "/") || fs::is_directory(out, ignored)) {
    return (fs::path(out) / "image-{seed}").string();
  }
  if (image_count <= 1 || HasPlaceholder(out)) return out;
  const fs::path path(out);
  const std::string name = path.stem().string() + "-{index}" + path.extension().string();
  return (path.parent_path() / name).string();
}

absl::Status MakeFolderOf(const fs::path& file) {
  if (!file.has_parent_path()) return absl::OkStatus();
  std::error_code error;
  fs::create_directories(file.parent_path(), error);
  if (!error) return absl::OkStatus();
  return absl::InternalError(
      absl::StrCat("cannot make the folder ", file.parent_path().string(), ": ", error.message()));
}

absl::Status WriteStdout(const std::string& bytes) {
  if (std::fwrite(bytes.data(), 1, bytes.size(), stdout) == bytes.size() &&
      std::fflush(stdout) == 0) {
    return absl::OkStatus();
  }
  return absl::InternalError("cannot write to standard output");
}

// A device or a pipe, such as /dev/null.
bool IsSpecial(const std::string& path) {
  std::error_code error;
  return fs::is_other(path, error);
}

bool WriteTo(const std::string& path, const std::string& bytes) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  file.close();
  return file.good();
}

absl::Status WriteFile(const std::string& path, const std::string& bytes) {
  const absl::Status failed = absl::InternalError(absl::StrCat("cannot write ", path));
  if (IsSpecial(path)) return WriteTo(path, bytes) ? absl::OkStatus() : failed;
  const std::string unfinished = absl::StrCat(path, ".part");
  const bool written = WriteTo(unfinished, bytes);
  std::error_code error;
  if (written) fs::rename(unfinished, path, error);
  if (written && !error) return absl::OkStatus();
  fs::remove(unfinished, error);
  return failed;
}

}  // namespace

absl::StatusOr<OutputFiles> OutputFiles::Create(const std::string& out, int image_count) {
  if (out == "-" && image_count > 1) {
    return absl::InvalidArgumentError("several images do not fit on standard output");
  }
  if (out == "-") return OutputFiles(out);
  std::string pattern = PatternOf(out, image_count);
  if (!HasPlaceholder(fs::path(pattern).parent_path().string())) {
    if (absl::Status status = MakeFolderOf(pattern); !status.ok()) return status;
  }
  return OutputFiles(std::move(pattern));
}

std::string OutputFiles::PathOf(const v1::ImageEvent& image) const {
  std::string path = absl::StrReplaceAll(pattern_, {{"{index}", absl::StrCat(image.image_index())},
                                                    {"{seed}", absl::StrCat(image.seed())}});
  if (!fs::path(path).has_extension() && !IsSpecial(path)) {
    path += image.format() == v1::IMAGE_FORMAT_JPEG ? ".jpg" : ".png";
  }
  return path;
}

absl::StatusOr<std::string> OutputFiles::Write(const v1::ImageEvent& image) const {
  if (ToStdout()) {
    if (absl::Status status = WriteStdout(image.data()); !status.ok()) return status;
    return pattern_;
  }
  const std::string path = PathOf(image);
  if (absl::Status status = MakeFolderOf(path); !status.ok()) return status;
  if (absl::Status status = WriteFile(path, image.data()); !status.ok()) return status;
  return path;
}

std::optional<v1::ImageFormat> FormatOfExtension(const std::string& path) {
  const std::string extension = absl::AsciiStrToLower(fs::path(path).extension().string());
  if (extension == ".png") return v1::IMAGE_FORMAT_PNG;
  if (extension == ".jpg" || extension == ".jpeg") return v1::IMAGE_FORMAT_JPEG;
  return std::nullopt;
}

}  // namespace ilf
