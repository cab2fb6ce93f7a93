#include "engine/checkpoint/json_config.h"

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <iterator>
#include <limits>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/base/status_macros.h"
#include "nlohmann/json.hpp"

namespace ilf {
namespace {

using nlohmann::json;

constexpr size_t kMaxConfigBytes = 4 << 20;
constexpr const char* kNonFiniteTokens[] = {"-Infinity", "Infinity", "NaN"};

// Puts quotes around the non-finite numbers that Python writes and JSON does not know; AsDouble
// reads them.
std::string QuoteNonFinite(absl::string_view text) {
  std::string result;
  result.reserve(text.size());
  bool in_string = false;
  for (size_t i = 0; i < text.size();) {
    size_t length = 1;
    if (in_string) {
      if (text[i] == '\\' && i + 1 < text.size()) length = 2;
      if (text[i] == '"') in_string = false;
    } else if (text[i] == '"') {
      in_string = true;
    } else {
      for (const absl::string_view token : kNonFiniteTokens) {
        if (!absl::StartsWith(text.substr(i), token)) continue;
        absl::StrAppend(&result, "\"", token, "\"");
        i += token.size();
        length = 0;
        break;
      }
    }
    result.append(text.data() + i, length);
    i += length;
  }
  return result;
}

std::optional<int64_t> AsInt(const json& value) {
  if (!value.is_number_integer()) return std::nullopt;
  if (value.is_number_unsigned() &&
      value.get<uint64_t>() > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
    return std::nullopt;
  }
  return value.get<int64_t>();
}

std::optional<double> AsDouble(const json& value) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  if (value.is_number()) return value.get<double>();
  if (value == "Infinity") return kInfinity;
  if (value == "-Infinity") return -kInfinity;
  if (value == "NaN") return std::numeric_limits<double>::quiet_NaN();
  return std::nullopt;
}

std::optional<bool> AsBool(const json& value) {
  return value.is_boolean() ? std::optional<bool>(value.get<bool>()) : std::nullopt;
}

std::optional<std::string> AsString(const json& value) {
  return value.is_string() ? std::optional<std::string>(value.get<std::string>()) : std::nullopt;
}

template <typename T>
std::optional<std::vector<T>> AsList(const json& value,
                                     std::optional<T> (*as_element)(const json&)) {
  if (!value.is_array()) return std::nullopt;
  std::vector<T> list;
  for (const json& element : value) {
    std::optional<T> converted = as_element(element);
    if (!converted.has_value()) return std::nullopt;
    list.push_back(*std::move(converted));
  }
  return list;
}

std::optional<std::map<std::string, std::string>> AsStringMap(const json& value) {
  if (!value.is_object()) return std::nullopt;
  std::map<std::string, std::string> map;
  for (const auto& [key, element] : value.items()) {
    if (!element.is_string()) return std::nullopt;
    map.emplace(key, element.get<std::string>());
  }
  return map;
}

}  // namespace

struct JsonConfig::Document {
  json root = json::object();
};

JsonConfig::JsonConfig() : origin_("(empty)"), document_(std::make_shared<const Document>()) {}

absl::StatusOr<JsonConfig> JsonConfig::Load(const std::string& path) {
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  if (!file) return absl::ErrnoToStatus(errno, absl::StrCat(path, ": cannot open"));
  std::string text(kMaxConfigBytes + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (file.bad()) return absl::InvalidArgumentError(absl::StrCat(path, ": cannot read"));
  text.resize(file.gcount());
  return FromText(text, path);
}

absl::StatusOr<JsonConfig> JsonConfig::FromText(absl::string_view text, std::string origin) {
  if (text.size() > kMaxConfigBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(origin, ": longer than ", kMaxConfigBytes, " bytes"));
  }
  auto document = std::make_shared<Document>();
  try {
    document->root = json::parse(QuoteNonFinite(text));
  } catch (const json::exception& error) {
    return absl::InvalidArgumentError(absl::StrCat(origin, ": not JSON: ", error.what()));
  }
  if (!document->root.is_object()) {
    return absl::InvalidArgumentError(absl::StrCat(origin, ": not a JSON object"));
  }
  JsonConfig config;
  config.origin_ = std::move(origin);
  config.document_ = std::move(document);
  return config;
}

bool JsonConfig::Has(absl::string_view key) const {
  const auto found = document_->root.find(std::string(key));
  return found != document_->root.end() && !found->is_null();
}

absl::Status JsonConfig::CheckKeys(absl::Span<const absl::string_view> known) const {
  for (const auto& [key, value] : document_->root.items()) {
    if (std::find(known.begin(), known.end(), key) != known.end()) continue;
    return absl::InvalidArgumentError(absl::StrCat(origin_, ": '", key, "' is not known; ",
                                                   "the keys are ", absl::StrJoin(known, ", ")));
  }
  return absl::OkStatus();
}

template <typename T, typename Convert>
absl::StatusOr<T> JsonConfig::Get(absl::string_view key, std::optional<T> fallback,
                                  const char* expected, Convert convert) const {
  const auto found = document_->root.find(std::string(key));
  if (found == document_->root.end() || found->is_null()) {
    if (fallback.has_value()) return *std::move(fallback);
    return absl::InvalidArgumentError(
        absl::StrCat(origin_, ": '", key, "' is missing (expected ", expected, ")"));
  }
  std::optional<T> value = convert(*found);
  if (!value.has_value()) {
    return absl::InvalidArgumentError(absl::StrCat(origin_, ": '", key, "' is not ", expected));
  }
  return *std::move(value);
}

absl::StatusOr<int64_t> JsonConfig::GetInt(absl::string_view key,
                                           std::optional<int64_t> fallback) const {
  return Get(key, fallback, "an integer", AsInt);
}

absl::StatusOr<double> JsonConfig::GetDouble(absl::string_view key,
                                             std::optional<double> fallback) const {
  return Get(key, fallback, "a number", AsDouble);
}

absl::StatusOr<bool> JsonConfig::GetBool(absl::string_view key,
                                         std::optional<bool> fallback) const {
  return Get(key, fallback, "true or false", AsBool);
}

absl::StatusOr<std::string> JsonConfig::GetString(absl::string_view key,
                                                  std::optional<std::string> fallback) const {
  return Get(key, std::move(fallback), "a string", AsString);
}

absl::StatusOr<std::vector<int64_t>> JsonConfig::GetIntList(
    absl::string_view key, std::optional<std::vector<int64_t>> fallback) const {
  return Get(key, std::move(fallback), "a list of integers",
             [](const json& value) { return AsList<int64_t>(value, AsInt); });
}

absl::StatusOr<std::vector<double>> JsonConfig::GetDoubleList(
    absl::string_view key, std::optional<std::vector<double>> fallback) const {
  return Get(key, std::move(fallback), "a list of numbers",
             [](const json& value) { return AsList<double>(value, AsDouble); });
}

absl::StatusOr<std::vector<std::vector<double>>> JsonConfig::GetDoubleTable(
    absl::string_view key, std::optional<std::vector<std::vector<double>>> fallback) const {
  const auto as_row = [](const json& value) { return AsList<double>(value, AsDouble); };
  return Get(key, std::move(fallback), "a list of lists of numbers",
             [&](const json& value) { return AsList<std::vector<double>>(value, as_row); });
}

absl::StatusOr<std::vector<std::string>> JsonConfig::GetStringList(
    absl::string_view key, std::optional<std::vector<std::string>> fallback) const {
  return Get(key, std::move(fallback), "a list of strings",
             [](const json& value) { return AsList<std::string>(value, AsString); });
}

absl::StatusOr<std::vector<JsonConfig>> JsonConfig::GetObjectList(absl::string_view key) const {
  const auto as_objects = [&](const json& value) -> std::optional<std::vector<JsonConfig>> {
    if (!value.is_array()) return std::nullopt;
    std::vector<JsonConfig> objects;
    for (const json& element : value) {
      if (!element.is_object()) return std::nullopt;
      auto document = std::make_shared<Document>();
      document->root = element;
      JsonConfig& object = objects.emplace_back();
      object.origin_ = absl::StrCat(origin_, ", ", key, "[", objects.size() - 1, "]");
      object.document_ = std::move(document);
    }
    return objects;
  };
  return Get(key, std::optional(std::vector<JsonConfig>()), "a list of objects", as_objects);
}

absl::StatusOr<std::map<std::string, std::string>> JsonConfig::GetStringMap(
    absl::string_view key, std::optional<std::map<std::string, std::string>> fallback) const {
  return Get(key, std::move(fallback), "an object of strings", AsStringMap);
}

}  // namespace ilf
