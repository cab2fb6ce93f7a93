#include "server/config_file.h"

#include <cerrno>
#include <fstream>
#include <sstream>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "google/protobuf/io/tokenizer.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"
#include "google/protobuf/text_format.h"
#include "server/server_options.h"

namespace ilf {
namespace {

using config::v1::ServerConfig;
using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::TextFormat;

// Collects "NAME:LINE:COLUMN: message". Newer protobufs call RecordError, older ones AddError.
class ErrorLines : public google::protobuf::io::ErrorCollector {
 public:
  explicit ErrorLines(absl::string_view name) : name_(name) {}

  // `line` and `column` count from 0, text editors from 1.
  void Record(int line, int column, absl::string_view message) {
    lines_.push_back(absl::StrCat(name_, ":", line + 1, ":", column + 1, ": ", message));
  }
  // NOLINTNEXTLINE(modernize-use-override)
  virtual void AddError(int line, int column, const std::string& message) {
    Record(line, column, message);
  }
  // NOLINTNEXTLINE(modernize-use-override)
  virtual void RecordError(int line, int column, absl::string_view message) {
    Record(line, column, message);
  }

  bool empty() const { return lines_.empty(); }
  absl::Status ToStatus() const { return absl::InvalidArgumentError(absl::StrJoin(lines_, "\n")); }

 private:
  const absl::string_view name_;
  std::vector<std::string> lines_;
};

// Where in the text the field of `violation` stands.
TextFormat::ParseLocation Locate(const ConfigViolation& violation,
                                 const TextFormat::ParseInfoTree& root) {
  const TextFormat::ParseInfoTree* tree = &root;
  const Descriptor* message = ServerConfig::descriptor();
  for (size_t i = 0; i + 1 < violation.field.size(); ++i) {
    const FieldDescriptor* field = message->FindFieldByName(violation.field[i]);
    tree = tree->GetTreeForNested(field, -1);
    message = field->message_type();
  }
  return tree->GetLocation(message->FindFieldByName(violation.field.back()), violation.index);
}

}  // namespace

absl::StatusOr<ServerConfig> ParseConfig(absl::string_view text, absl::string_view name) {
  ErrorLines errors(name);
  TextFormat::ParseInfoTree locations;
  TextFormat::Parser parser;
  parser.RecordErrorsTo(&errors);
  parser.WriteLocationsTo(&locations);
  ServerConfig config;
  google::protobuf::io::ArrayInputStream stream(text.data(), static_cast<int>(text.size()));
  if (!parser.Parse(&stream, &config)) return errors.ToStatus();

  for (const ConfigViolation& violation : CheckConfig(config)) {
    const TextFormat::ParseLocation location = Locate(violation, locations);
    errors.Record(location.line, location.column,
                  absl::StrCat(absl::StrJoin(violation.field, "."), ": ", violation.description));
  }
  if (!errors.empty()) return errors.ToStatus();
  return config;
}

absl::StatusOr<ServerConfig> ReadConfigFile(const std::string& path) {
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  // Writing the buffer of an empty file would count as a failure.
  if (file && file.peek() != std::ifstream::traits_type::eof()) text << file.rdbuf();
  if (!file.is_open() || file.bad() || !text) {
    return absl::ErrnoToStatus(errno == 0 ? EIO : errno,
                               absl::StrCat(path, ": cannot read the configuration"));
  }
  return ParseConfig(text.str(), path);
}

}  // namespace ilf
