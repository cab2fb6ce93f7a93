#include "engine/checkpoint/state_dict.h"

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "ATen/ops/empty.h"
#include "ATen/ops/from_blob.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "c10/core/ScalarType.h"
#include "engine/base/status_macros.h"
#include "engine/checkpoint/safetensors.h"
#include "engine/checkpoint/weight_files.h"

namespace ilf {
namespace {

std::optional<at::ScalarType> LoadableType(absl::string_view dtype) {
  if (dtype == "F32") return at::kFloat;
  if (dtype == "F16") return at::kHalf;
  if (dtype == "BF16") return at::kBFloat16;
  return std::nullopt;
}

std::string ShapeText(at::IntArrayRef shape) {
  return absl::StrCat("[", absl::StrJoin(shape, ", "), "]");
}

at::Tensor MakeTensor(const std::shared_ptr<const SafetensorsFile>& file, const TensorEntry& entry,
                      at::ScalarType type) {
  const absl::Span<const uint8_t> data = file->Data(entry);
  if (data.empty()) return at::empty(entry.shape, type);
  auto* const bytes = const_cast<uint8_t*>(data.data());
  if (reinterpret_cast<uintptr_t>(bytes) % c10::elementSize(type) == 0) {
    return at::from_blob(bytes, entry.shape, [file](void*) {}, type);
  }
  at::Tensor copy = at::empty(entry.shape, type);
  std::copy(data.begin(), data.end(), static_cast<uint8_t*>(copy.mutable_data_ptr()));
  return copy;
}

}  // namespace

absl::StatusOr<StateDict> StateDict::Load(const std::string& path) {
  ILF_ASSIGN_OR_RETURN(const std::shared_ptr<const SafetensorsFile> file,
                       SafetensorsFile::Open(path));
  StateDict dict(path);
  for (const auto& [name, entry] : file->tensors()) {
    Item item{.tensor = {}, .dtype = entry.dtype, .shape = entry.shape};
    if (const auto type = LoadableType(entry.dtype)) item.tensor = MakeTensor(file, entry, *type);
    dict.items_.emplace(name, std::move(item));
  }
  return dict;
}

absl::StatusOr<StateDict> StateDict::LoadFolder(const std::string& folder,
                                                const std::string& name) {
  ILF_ASSIGN_OR_RETURN(const WeightFiles found,
                       FindWeightFiles(absl::StrCat(folder, "/", name, ".safetensors")));
  if (found.index.empty()) return Load(found.files.front());
  const auto wrong = [&](absl::string_view what) {
    return absl::InvalidArgumentError(absl::StrCat(found.index, ": ", what));
  };
  StateDict all(found.index);
  for (const std::string& file : found.files) {
    const std::string shard = std::filesystem::path(file).filename().string();
    ILF_ASSIGN_OR_RETURN(StateDict part, Load(file));
    for (auto& [tensor, item] : part.items_) {
      const auto place = found.shard_of.find(tensor);
      if (place == found.shard_of.end() || place->second != shard) {
        return wrong(
            absl::StrCat("does not place tensor '", tensor, "' in ", shard, ", which holds it"));
      }
      all.items_.emplace(tensor, std::move(item));
    }
  }
  for (const auto& [tensor, shard] : found.shard_of) {
    if (!all.Has(tensor)) {
      return wrong(
          absl::StrCat("places tensor '", tensor, "' in ", shard, ", which does not hold it"));
    }
  }
  return all;
}

StateDict::StateDict(std::map<std::string, at::Tensor> tensors, std::string origin)
    : origin_(std::move(origin)) {
  for (auto& [name, tensor] : tensors) {
    Item item{
        .tensor = {}, .dtype = c10::toString(tensor.scalar_type()), .shape = tensor.sizes().vec()};
    if (tensor.is_floating_point()) item.tensor = std::move(tensor);
    items_.emplace(name, std::move(item));
  }
}

std::vector<std::string> StateDict::Names() const {
  std::vector<std::string> names;
  for (const auto& [name, item] : items_) names.push_back(name);
  return names;
}

bool StateDict::Has(absl::string_view name) const { return items_.find(name) != items_.end(); }

absl::StatusOr<at::Tensor> StateDict::Take(const std::string& name, at::IntArrayRef shape) {
  const auto found = items_.find(name);
  if (found == items_.end()) {
    return absl::NotFoundError(
        absl::StrCat(origin_, ": no tensor '", name, "' (expected ", ShapeText(shape), ")"));
  }
  Item& item = found->second;
  if (shape != at::IntArrayRef(item.shape)) {
    return absl::InvalidArgumentError(absl::StrCat(origin_, ": tensor '", name, "' is ",
                                                   ShapeText(item.shape), ", expected ",
                                                   ShapeText(shape)));
  }
  if (!item.tensor.defined()) {
    return absl::InvalidArgumentError(absl::StrCat(origin_, ": tensor '", name, "' is ", item.dtype,
                                                   "; F32, F16 and BF16 can be loaded"));
  }
  item.consumed = true;
  return item.tensor;
}

absl::StatusOr<std::vector<int64_t>> StateDict::Shape(const std::string& name) const {
  const auto found = items_.find(name);
  if (found == items_.end())
    return absl::NotFoundError(absl::StrCat(origin_, ": no tensor '", name, "'"));
  return found->second.shape;
}

void StateDict::Ignore(const std::string& name) {
  if (const auto found = items_.find(name); found != items_.end()) found->second.consumed = true;
}

absl::Status StateDict::CheckAllConsumed() const {
  constexpr size_t kMostNamed = 10;
  std::vector<std::string> left;
  for (const auto& [name, item] : items_) {
    if (!item.consumed) left.push_back(name);
  }
  if (left.empty()) return absl::OkStatus();
  const size_t count = left.size();
  if (count > kMostNamed) left.resize(kMostNamed);
  return absl::InvalidArgumentError(absl::StrCat(
      origin_, ": ", count, " tensor(s) that the model does not use: ", absl::StrJoin(left, ", "),
      count > kMostNamed ? ", ..." : ""));
}

}  // namespace ilf
