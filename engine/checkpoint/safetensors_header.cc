#include <algorithm>
#include <limits>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/base/status_macros.h"
#include "engine/checkpoint/safetensors.h"
#include "nlohmann/json.hpp"

namespace ilf {
namespace {

constexpr size_t kMaxDimensions = 16;

std::string Quoted(absl::string_view name) {
  constexpr size_t kLongestShown = 200;
  const bool cut = name.size() > kLongestShown;
  return absl::StrCat("'", absl::CHexEscape(name.substr(0, kLongestShown)), cut ? "...'" : "'");
}

// Accepts the one shape that a header can have and stops at the first thing that does not belong:
//   {"__metadata__": {name: string}, tensor: {"dtype": string, "shape": [n...], "data_offsets": [b,
//   e]}}
class HeaderHandler final : public nlohmann::json_sax<nlohmann::json> {
 public:
  SafetensorsHeader header;
  std::string error;

  bool null() override { return Unexpected("null"); }
  bool boolean(bool) override { return Unexpected("a boolean"); }
  bool number_integer(number_integer_t) override { return Unexpected("a negative number"); }
  bool number_float(number_float_t, const string_t&) override { return Unexpected("a fraction"); }
  bool binary(binary_t&) override { return Unexpected("binary data"); }

  bool number_unsigned(number_unsigned_t value) override {
    if (list_ == nullptr) return Unexpected("a number");
    if (list_->size() == kMaxDimensions) return Fail("has a list that is too long");
    list_->push_back(value);
    return true;
  }

  bool string(string_t& value) override {
    if (level_ != 2 || list_ != nullptr) return Unexpected("a string");
    if (name_ == "__metadata__") {
      header.metadata[field_] = value;
      return true;
    }
    if (field_ != "dtype") return Unexpected("a string");
    dtype_ = value;
    return true;
  }

  bool start_object(size_t) override {
    if (level_ == 2 || list_ != nullptr) return Unexpected("an object");
    ++level_;
    return true;
  }

  bool key(string_t& key) override {
    if (level_ == 1) {
      name_ = key;
      fields_.clear();
      dtype_.clear();
      shape_.clear();
      offsets_.clear();
      return names_.insert(key).second || Fail("occurs twice");
    }
    field_ = key;
    return fields_.insert(key).second || Fail(absl::StrCat("has ", Quoted(key), " twice"));
  }

  bool end_object() override {
    --level_;
    return level_ == 0 || name_ == "__metadata__" || FinishTensor();
  }

  bool start_array(size_t) override {
    if (level_ != 2 || list_ != nullptr || name_ == "__metadata__") return Unexpected("a list");
    if (field_ == "shape") {
      list_ = &shape_;
    } else if (field_ == "data_offsets") {
      list_ = &offsets_;
    } else {
      return Unexpected("a list");
    }
    return true;
  }

  bool end_array() override {
    list_ = nullptr;
    return true;
  }

  bool parse_error(size_t position, const std::string&,
                   const nlohmann::detail::exception&) override {
    error = absl::StrCat("the header is not JSON (at byte ", position, ")");
    return false;
  }

 private:
  bool Fail(absl::string_view what) {
    error = absl::StrCat("tensor ", Quoted(name_), " ", what);
    return false;
  }

  bool Unexpected(absl::string_view what) {
    if (level_ == 0) {
      error = absl::StrCat("the header is ", what, " instead of an object");
      return false;
    }
    return Fail(absl::StrCat("has ", what, " where it does not belong"));
  }

  bool FinishTensor() {
    for (const char* field : {"dtype", "shape", "data_offsets"}) {
      if (!fields_.contains(field)) return Fail(absl::StrCat("has no ", field));
    }
    if (fields_.size() != 3) return Fail("has fields that are not known");
    if (offsets_.size() != 2) return Fail("needs two data_offsets");
    TensorEntry entry;
    entry.dtype = dtype_;
    for (const uint64_t size : shape_) {
      if (size > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
        return Fail("has a shape that overflows");
      }
      entry.shape.push_back(static_cast<int64_t>(size));
    }
    entry.begin = offsets_[0];
    entry.end = offsets_[1];
    header.tensors.emplace(name_, std::move(entry));
    return true;
  }

  int level_ = 0;  // objects that are open
  std::string name_;
  std::string field_;
  std::set<std::string> names_;
  std::set<std::string> fields_;
  std::string dtype_;
  std::vector<uint64_t> shape_;
  std::vector<uint64_t> offsets_;
  std::vector<uint64_t>* list_ = nullptr;  // the list that is open
};

// Bytes of a tensor, or nothing when the product overflows.
std::optional<uint64_t> TensorBytes(const std::vector<int64_t>& shape, size_t element_bytes) {
  uint64_t bytes = element_bytes;
  for (const int64_t size : shape) {
    if (__builtin_mul_overflow(bytes, static_cast<uint64_t>(size), &bytes)) return std::nullopt;
  }
  if (bytes > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) return std::nullopt;
  return bytes;
}

// Empty when the entry agrees with itself and lies within the data section.
std::string EntryError(const TensorEntry& entry, uint64_t data_bytes) {
  const size_t element_bytes = DtypeBytes(entry.dtype);
  if (element_bytes == 0) return absl::StrCat("has the unknown dtype ", Quoted(entry.dtype));
  const std::optional<uint64_t> bytes = TensorBytes(entry.shape, element_bytes);
  if (!bytes.has_value()) return "has a shape that overflows";
  if (entry.begin > entry.end) {
    return absl::StrCat("ends at byte ", entry.end, ", before it begins at ", entry.begin);
  }
  if (entry.end > data_bytes) {
    return absl::StrCat("ends at byte ", entry.end, " of ", data_bytes,
                        " (is the file truncated?)");
  }
  if (entry.end - entry.begin != *bytes) {
    return absl::StrCat("has ", entry.end - entry.begin, " bytes, but ", entry.dtype, " [",
                        absl::StrJoin(entry.shape, ", "), "] needs ", *bytes);
  }
  return "";
}

// Empty when the tensors cover the data section without overlap or hole.
std::string CoverageError(const std::map<std::string, TensorEntry>& tensors, uint64_t data_bytes) {
  std::vector<std::pair<const std::string*, const TensorEntry*>> order;
  order.reserve(tensors.size());
  for (const auto& [name, entry] : tensors) order.emplace_back(&name, &entry);
  std::sort(order.begin(), order.end(), [](const auto& a, const auto& b) {
    return std::pair(a.second->begin, a.second->end) < std::pair(b.second->begin, b.second->end);
  });
  uint64_t covered = 0;
  for (const auto& [name, entry] : order) {
    if (entry->begin < covered) {
      return absl::StrCat("tensor ", Quoted(*name), " overlaps another tensor at byte ",
                          entry->begin);
    }
    if (entry->begin > covered) {
      return absl::StrCat("no tensor covers the bytes ", covered, " to ", entry->begin,
                          " before tensor ", Quoted(*name));
    }
    covered = entry->end;
  }
  if (covered != data_bytes) {
    return absl::StrCat("no tensor covers the last ", data_bytes - covered, " bytes");
  }
  return "";
}

}  // namespace

size_t DtypeBytes(absl::string_view dtype) {
  static const auto* const kBytes = new std::map<absl::string_view, size_t>{
      {"BOOL", 1}, {"U8", 1},  {"I8", 1},  {"F8_E4M3", 1}, {"F8_E5M2", 1}, {"F8_E8M0", 1},
      {"U16", 2},  {"I16", 2}, {"F16", 2}, {"BF16", 2},    {"U32", 4},     {"I32", 4},
      {"F32", 4},  {"U64", 8}, {"I64", 8}, {"F64", 8},     {"C64", 8}};
  const auto found = kBytes->find(dtype);
  return found == kBytes->end() ? 0 : found->second;
}

absl::StatusOr<SafetensorsHeader> ParseSafetensorsHeader(absl::string_view json,
                                                         uint64_t data_bytes,
                                                         const std::string& origin) {
  HeaderHandler handler;
  if (!nlohmann::json::sax_parse(json.begin(), json.end(), &handler)) {
    return absl::InvalidArgumentError(absl::StrCat(origin, ": ", handler.error));
  }
  for (const auto& [name, entry] : handler.header.tensors) {
    if (const std::string error = EntryError(entry, data_bytes); !error.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat(origin, ": tensor ", Quoted(name), " ", error));
    }
  }
  if (const std::string error = CoverageError(handler.header.tensors, data_bytes); !error.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(origin, ": ", error));
  }
  return std::move(handler.header);
}

}  // namespace ilf
