#include "engine/training/image_folder.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <sstream>
#include <utility>

#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/tensor.h>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "engine/checkpoint/file_hash.h"
#include "engine/image/codec.h"
#include "engine/image/resize.h"

namespace ilf {
namespace {

using nlohmann::json;

constexpr int64_t kMostRepeats = 1000;

absl::Status Wrong(const std::string& file, int64_t line, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(file, ":", line, ": ", what));
}

absl::StatusOr<std::vector<std::string>> ReadLabelNames(const std::string& file) {
  std::ifstream in(file);
  if (!in) return std::vector<std::string>{};
  const json names = json::parse(in, nullptr, /*allow_exceptions=*/false);
  std::vector<std::string> labels;
  if (!names.is_array()) return Wrong(file, 1, "expected a list of strings");
  for (const json& name : names) {
    if (!name.is_string()) return Wrong(file, 1, "expected a list of strings");
    labels.push_back(name.get<std::string>());
  }
  return labels;
}

struct Entry {
  std::string file;
  json label;
  std::vector<std::string> captions;
  int64_t repeats = 1;
};

// "text": absent, a string, or a list of strings that is not empty.
std::optional<std::vector<std::string>> ReadCaptions(const json& object) {
  const json text = object.value("text", json());
  if (text.is_null()) return std::vector<std::string>();
  if (text.is_string()) return std::vector<std::string>{text.get<std::string>()};
  if (!text.is_array() || text.empty()) return std::nullopt;
  std::vector<std::string> captions;
  for (const json& caption : text) {
    if (!caption.is_string()) return std::nullopt;
    captions.push_back(caption.get<std::string>());
  }
  return captions;
}

absl::StatusOr<std::vector<Entry>> ReadMetadata(const std::string& file) {
  std::ifstream in(file);
  if (!in) return absl::NotFoundError(absl::StrCat(file, ": cannot be read"));
  std::vector<Entry> entries;
  std::string text;
  for (int64_t line = 1; std::getline(in, text); ++line) {
    if (text.empty()) continue;
    const json object = json::parse(text, nullptr, /*allow_exceptions=*/false);
    if (!object.is_object() || !object.contains("file_name") || !object["file_name"].is_string()) {
      return Wrong(file, line, "expected an object with \"file_name\"");
    }
    const json label = object.value("label", json(0));
    if (!label.is_string() && !(label.is_number_integer() && label.get<int64_t>() >= 0)) {
      return Wrong(file, line, "\"label\" must be a class index (>= 0) or a class name");
    }
    std::optional<std::vector<std::string>> captions = ReadCaptions(object);
    if (!captions) return Wrong(file, line, "\"text\" must be a string or a list of strings");
    const json repeats = object.value("repeats", json(1));
    if (!repeats.is_number_integer() || repeats < 1 || repeats > kMostRepeats) {
      return Wrong(file, line, absl::StrCat("\"repeats\" must be an integer from 1 to ",
                                            kMostRepeats));
    }
    entries.push_back({object["file_name"].get<std::string>(), label, *std::move(captions),
                       repeats.get<int64_t>()});
  }
  if (entries.empty()) return absl::InvalidArgumentError(absl::StrCat(file, ": has no entries"));
  return entries;
}

std::vector<std::string> NamesOf(const std::vector<Entry>& entries) {
  std::set<std::string> names;
  int64_t highest = -1;
  for (const Entry& entry : entries) {
    if (entry.label.is_string()) {
      names.insert(entry.label.get<std::string>());
    } else {
      highest = std::max(highest, entry.label.get<int64_t>());
    }
  }
  if (!names.empty()) return {names.begin(), names.end()};
  std::vector<std::string> numbers;
  for (int64_t i = 0; i <= highest; ++i) numbers.push_back(absl::StrCat(i));
  return numbers;
}

}  // namespace

absl::StatusOr<ImageFolder> ImageFolder::Open(const std::string& path, int side) {
  const std::string metadata = path + "/metadata.jsonl";
  ILF_ASSIGN_OR_RETURN(const std::vector<Entry> entries, ReadMetadata(metadata));
  ImageFolder folder;
  folder.path_ = path;
  folder.side_ = side;
  ILF_ASSIGN_OR_RETURN(folder.label_names_, ReadLabelNames(path + "/labels.json"));
  if (folder.label_names_.empty()) folder.label_names_ = NamesOf(entries);

  std::map<std::string, int64_t> index_of;
  for (const std::string& name : folder.label_names_) index_of.emplace(name, index_of.size());
  for (const Entry& entry : entries) {
    int64_t label = -1;
    if (entry.label.is_number_integer()) {
      label = entry.label.get<int64_t>();
    } else if (const auto it = index_of.find(entry.label.get<std::string>());
               it != index_of.end()) {
      label = it->second;
    }
    if (label < 0 || label >= static_cast<int64_t>(folder.label_names_.size())) {
      return absl::InvalidArgumentError(absl::StrCat(metadata, ": label ", entry.label.dump(),
                                                     " of ", entry.file, " is unknown"));
    }
    folder.pass_.insert(folder.pass_.end(), entry.repeats, folder.size());
    folder.files_.push_back(entry.file);
    folder.labels_.push_back(label);
    folder.captions_.push_back(entry.captions);
  }
  return folder;
}

at::Tensor ImageFolder::Labels() const { return at::tensor(labels_, at::kLong); }

absl::StatusOr<std::string> ImageFolder::Identity() const {
  std::string text = absl::StrCat(std::filesystem::absolute(path_).string(), "\n", side_);
  for (const std::string& name : files_) {
    const std::filesystem::path file = std::filesystem::path(path_) / name;
    std::error_code error;
    const auto time = std::filesystem::last_write_time(file, error);
    const uintmax_t bytes = error ? 0 : std::filesystem::file_size(file, error);
    if (error) return absl::NotFoundError(absl::StrCat(file.string(), ": ", error.message()));
    absl::StrAppend(&text, "\n", name, " ", bytes, " ", time.time_since_epoch().count());
  }
  return Sha256(text);
}

absl::StatusOr<at::Tensor> ImageFolder::Images(const std::vector<int64_t>& indices) const {
  at::Tensor images = at::empty({static_cast<int64_t>(indices.size()), 3, side_, side_});
  for (size_t i = 0; i < indices.size(); ++i) {
    ILF_ASSIGN_OR_RETURN(RgbBuffer picture,
                         ReadImage(absl::StrCat(path_, "/", files_[indices[i]])));
    if (picture.width != side_ || picture.height != side_) {
      ILF_ASSIGN_OR_RETURN(picture, Resize(picture.view(), {side_, side_}));
    }
    const at::Tensor pixels = at::from_blob(picture.pixels.data(), {side_, side_, 3}, at::kByte);
    images[i].copy_(pixels.permute({2, 0, 1}).to(at::kFloat).div_(127.5).sub_(1.0));
  }
  return images;
}

std::vector<int64_t> BatchIndices(int64_t size, int64_t count, int64_t step, uint64_t seed) {
  std::vector<int64_t> indices, order;
  int64_t shuffled_epoch = -1;
  for (int64_t position = step * count; position < (step + 1) * count; ++position) {
    const int64_t epoch = position / size;
    if (epoch != shuffled_epoch) {
      order.resize(size);
      for (int64_t i = 0; i < size; ++i) order[i] = i;
      std::mt19937_64 random(seed * 1000003 + epoch);
      std::shuffle(order.begin(), order.end(), random);
      shuffled_epoch = epoch;
    }
    indices.push_back(order[position % size]);
  }
  return indices;
}

std::vector<int64_t> BatchIndices(const std::vector<int64_t>& pass, int64_t count, int64_t step,
                                  uint64_t seed) {
  std::vector<int64_t> indices =
      BatchIndices(static_cast<int64_t>(pass.size()), count, step, seed);
  for (int64_t& index : indices) index = pass[index];
  return indices;
}

}  // namespace ilf
