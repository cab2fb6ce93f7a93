// A JSON object of settings, read with types. Every failure names the file, the key and what was
// expected.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace ilf {

// Immutable and cheap to copy; thread-safe. A default-constructed one is empty.
//
// Each getter fails (INVALID_ARGUMENT) when the value has another type, or when the key is absent
// and there is no fallback. A key whose value is null counts as absent.
class JsonConfig {
 public:
  JsonConfig();

  // Reads a file. The bare tokens Infinity, -Infinity and NaN, which Python writes, are accepted as
  // numbers. NOT_FOUND, or INVALID_ARGUMENT when it is too long, or not a JSON object.
  static absl::StatusOr<JsonConfig> Load(const std::string& path);
  // The same from memory; `origin` stands for the file's name in errors.
  static absl::StatusOr<JsonConfig> FromText(absl::string_view text, std::string origin);

  const std::string& origin() const { return origin_; }
  bool Has(absl::string_view key) const;
  // INVALID_ARGUMENT names a key that is none of `known`: for formats that are the project's own.
  absl::Status CheckKeys(absl::Span<const absl::string_view> known) const;

  absl::StatusOr<int64_t> GetInt(absl::string_view key, std::optional<int64_t> fallback = {}) const;
  absl::StatusOr<double> GetDouble(absl::string_view key,
                                   std::optional<double> fallback = {}) const;
  absl::StatusOr<bool> GetBool(absl::string_view key, std::optional<bool> fallback = {}) const;
  absl::StatusOr<std::string> GetString(absl::string_view key,
                                        std::optional<std::string> fallback = {}) const;
  absl::StatusOr<std::vector<int64_t>> GetIntList(
      absl::string_view key, std::optional<std::vector<int64_t>> fallback = {}) const;
  absl::StatusOr<std::vector<double>> GetDoubleList(
      absl::string_view key, std::optional<std::vector<double>> fallback = {}) const;
  absl::StatusOr<std::vector<std::vector<double>>> GetDoubleTable(
      absl::string_view key, std::optional<std::vector<std::vector<double>>> fallback = {}) const;
  absl::StatusOr<std::vector<std::string>> GetStringList(
      absl::string_view key, std::optional<std::vector<std::string>> fallback = {}) const;
  absl::StatusOr<std::map<std::string, std::string>> GetStringMap(
      absl::string_view key, std::optional<std::map<std::string, std::string>> fallback = {}) const;
  // A list of objects; the origin of each tells its place in the list. Empty when the key is
  // absent.
  absl::StatusOr<std::vector<JsonConfig>> GetObjectList(absl::string_view key) const;

 private:
  struct Document;  // keeps the JSON library out of this header

  template <typename T, typename Convert>
  absl::StatusOr<T> Get(absl::string_view key, std::optional<T> fallback, const char* expected,
                        Convert convert) const;

  std::string origin_;
  std::shared_ptr<const Document> document_;
};

}  // namespace ilf
