#include "client/command/command_line.h"

#include <fstream>
#include <iterator>
#include <map>
#include <optional>
#include <utility>

#include "CLI/CLI.hpp"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "client/command/exit_code.h"
#include "client/command/names.h"
#include "client/command/output_files.h"
#include "client/command/utf8.h"
#include "nlohmann/json.hpp"
#include "tls/credentials.h"
#include "tls/tls_files.h"

namespace ilf {
namespace {

// A probe that waits longer is of no use: Docker's and Kubernetes' own limits are seconds.
constexpr absl::Duration kHealthTimeout = absl::Seconds(3);

// What the flags of `generate` hold before they become a request.
struct GenerateFlags {
  std::string model;
  std::string prompt;
  std::string negative_prompt;
  std::string label;
  std::optional<double> guidance;
  std::optional<uint64_t> seed;
  int steps = 0;
  int width = 0;
  int height = 0;
  int count = 1;
  v1::Solver solver = v1::SOLVER_UNSPECIFIED;
  v1::Acceleration acceleration = v1::ACCELERATION_UNSPECIFIED;
  v1::Priority priority = v1::PRIORITY_UNSPECIFIED;
  v1::ImageFormat format = v1::IMAGE_FORMAT_UNSPECIFIED;
  std::optional<int> preview_every;
  int preview_side = 0;
  std::string request_id;
  std::string out = "./";
};

template <typename Enum>
void AddChoice(CLI::App& app, const std::string& flag, Enum& value,
               const std::map<std::string, Enum>& names, const std::string& help) {
  app.add_option_function<std::string>(
         flag, [&value, &names](const std::string& name) { value = names.at(name); }, help)
      ->check(CLI::IsMember(names));
}

// What the flags of TLS hold before they become credentials.
struct TlsFlags {
  bool system_authorities = false;
  TlsFiles files;
};

void AddTlsFlags(CLI::App& app, TlsFlags& tls) {
  app.add_flag("--tls", tls.system_authorities,
               "TLS, with a server that an authority known to this system has signed");
  app.add_option("--tls_ca", tls.files.ca,
                 "TLS, with a server that one of these authorities has signed; PEM")
      ->type_name("FILE");
  app.add_option("--tls_cert", tls.files.cert,
                 "certificate to show to the server (mutual TLS); PEM")
      ->type_name("FILE");
  app.add_option("--tls_key", tls.files.key, "private key of --tls_cert; PEM")->type_name("FILE");
}

std::string ReadServiceConfig(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw CLI::ValidationError("--service_config", absl::StrCat("cannot read ", path));
  std::string text(std::istreambuf_iterator<char>(file), {});
  if (!nlohmann::json::accept(text)) {
    throw CLI::ValidationError("--service_config", absl::StrCat(path, " is not JSON"));
  }
  return text;
}

void AddCallFlags(CLI::App& app, ClientOptions& client, TlsFlags& tls, bool& json) {
  const bool limited = client.timeout != absl::InfiniteDuration();
  app.add_option("--address", client.address, "HOST:PORT of the server")->capture_default_str();
  app.add_option_function<std::string>(
         "--timeout",
         [&client](const std::string& text) {
           if (!absl::ParseDuration(text, &client.timeout) ||
               client.timeout <= absl::ZeroDuration()) {
             throw CLI::ValidationError("--timeout", "needs a duration such as 30s or 2m");
           }
         },
         absl::StrCat("longest time for the whole call, such as 30s or 2m (default: ",
                      limited ? absl::FormatDuration(client.timeout) : "none", ")"))
      ->type_name("DURATION");
  app.add_option_function<std::string>(
         "--service_config",
         [&client](const std::string& path) { client.service_config = ReadServiceConfig(path); },
         "gRPC service config, JSON: how calls are balanced and what is tried again")
      ->type_name("FILE");
  AddTlsFlags(app, tls);
  app.add_flag("--json", json, "print JSON to standard output, one object a line");
}

void ApplyTls(const TlsFlags& tls, Connection& connection) {
  const TlsFiles& files = tls.files;
  connection.tls =
      tls.system_authorities || !files.ca.empty() || !files.cert.empty() || !files.key.empty();
  if (!connection.tls) return;
  if (tls.system_authorities && !files.ca.empty()) {
    throw CLI::ValidationError("--tls", "and --tls_ca exclude each other: whom to trust?");
  }
  const auto certificate = CheckTlsFiles(files, "--tls_ca");
  if (!certificate.ok()) {
    throw CLI::ValidationError(std::string(certificate.status().message()));
  }
  connection.tls_cert = certificate->has_value();
  connection.client.credentials = ClientTlsCredentials(files, kTlsRefreshInterval);
}

void AddConditionFlags(CLI::App& app, GenerateFlags& flags) {
  app.add_option(
      "--model", flags.model,
      "name of a model, see 'models' (default: the only one that takes a label, or a prompt)");
  auto* prompt = app.add_option("prompt", flags.prompt, "what to show, for models that take text");
  app.add_option("--label", flags.label,
                 "class to show, by name or index, for models that take labels")
      ->excludes(prompt);
  app.add_option("--negative_prompt", flags.negative_prompt, "what to steer away from")
      ->needs(prompt);
}

void AddSamplingFlags(CLI::App& app, GenerateFlags& flags) {
  app.add_option("--steps", flags.steps, "denoising steps (default: the model's)");
  app.add_option_function<std::string>(
         "--seed",
         [&flags](const std::string& text) {
           if (!absl::SimpleAtoi(text, &flags.seed.emplace())) {
             throw CLI::ValidationError("--seed", "needs a whole number, 0 to 2^64 - 1");
           }
         },
         "seed of the first image; image i gets SEED + i (default: picked by the server)")
      ->type_name("UINT");
  app.add_option("--guidance", flags.guidance, "guidance scale, 1 = off (default: the model's)");
  AddChoice(app, "--solver", flags.solver, SolverNames(), "solver (default: the model's)");
  AddChoice(app, "--acceleration", flags.acceleration, AccelerationNames(),
            "Inner Loop Feedback (default: auto)");
  app.add_option("--width", flags.width, "pixels (default: the model's)");
  app.add_option("--height", flags.height, "pixels (default: the model's)");
  app.add_option("--count", flags.count, "number of images")->capture_default_str();
  AddChoice(app, "--priority", flags.priority, PriorityNames(),
            "order of service (default: normal)");
  app.add_option("--request_id", flags.request_id,
                 "name of the request in events and logs (default: picked by the server)");
}

void AddOutputFlags(CLI::App& app, GenerateFlags& flags, ProgressMode& progress) {
  static const std::map<std::string, ProgressMode> kModes = {{"auto", ProgressMode::kAuto},
                                                             {"terminal", ProgressMode::kTerminal},
                                                             {"plain", ProgressMode::kPlain},
                                                             {"off", ProgressMode::kOff}};
  app.add_option("--preview_every", flags.preview_every,
                 "a preview every N steps, 0 = none (default: 2 in a terminal, else 0)");
  app.add_option("--preview_side", flags.preview_side,
                 "pixels of a preview's longer side (default: the size of the picture's latent)");
  AddChoice(app, "--format", flags.format, ImageFormatNames(),
            "encoding of the images (default: by the extension of --out, else png)");
  app.add_option("--out", flags.out,
                 "file, folder (FOLDER/image-SEED.png), name with {index} or {seed}, or - for "
                 "standard output")
      ->capture_default_str();
  AddChoice(app, "--progress", progress, kModes,
            "what standard error shows; auto: pictures in a terminal, else lines");
}

void SetCondition(const GenerateFlags& flags, v1::GenerateRequest& request) {
  int index = 0;
  if (flags.label.empty()) {
    request.mutable_text_prompt()->set_prompt(flags.prompt);
    request.mutable_text_prompt()->set_negative_prompt(flags.negative_prompt);
  } else if (absl::SimpleAtoi(flags.label, &index)) {
    request.mutable_class_label()->set_index(index);
  } else {
    request.mutable_class_label()->set_name(flags.label);
  }
}

v1::GenerateRequest MakeRequest(const GenerateFlags& flags) {
  v1::GenerateRequest request;
  request.set_model(flags.model);
  SetCondition(flags, request);
  request.set_width(flags.width);
  request.set_height(flags.height);
  request.set_steps(flags.steps);
  if (flags.guidance.has_value()) request.set_guidance_scale(*flags.guidance);
  if (flags.seed.has_value()) request.set_seed(*flags.seed);
  request.set_image_count(flags.count);
  request.set_solver(flags.solver);
  request.set_acceleration(flags.acceleration);
  request.set_priority(flags.priority);
  request.set_request_id(flags.request_id);
  request.set_output_format(flags.format);
  if (flags.preview_every.value_or(0) != 0) {
    request.mutable_preview()->set_every_n_steps(*flags.preview_every);
    request.mutable_preview()->set_max_side(flags.preview_side);
  }
  return request;
}

// A server cannot even say what is wrong with a request whose strings are not UTF-8.
void CheckUtf8(const std::string& flag, const std::string& text) {
  const std::optional<size_t> invalid = FindInvalidUtf8(text);
  if (!invalid.has_value()) return;
  const auto byte = static_cast<unsigned char>(text[*invalid]);
  throw CLI::ValidationError(flag, absl::StrCat("is not valid UTF-8 from byte ", *invalid, " (0x",
                                                absl::Hex(byte, absl::kZeroPad2), ") on"));
}

// What the options cannot check one by one.
void CheckGenerate(GenerateFlags& flags, bool json) {
  CheckUtf8("prompt", flags.prompt);
  CheckUtf8("--negative_prompt", flags.negative_prompt);
  CheckUtf8("--label", flags.label);
  CheckUtf8("--model", flags.model);
  CheckUtf8("--request_id", flags.request_id);
  if (flags.label.empty() && flags.prompt.empty()) {
    throw CLI::ValidationError("generate", "needs --label or a prompt");
  }
  if (flags.out == "-" && json) {
    throw CLI::ValidationError("--out", "- and --json both write to standard output");
  }
  if (flags.out == "-" && flags.count > 1) {
    throw CLI::ValidationError("--out", "- takes one image, not several");
  }
  const auto format = FormatOfExtension(flags.out);
  if (!format.has_value()) return;
  if (flags.format == v1::IMAGE_FORMAT_UNSPECIFIED) flags.format = *format;
  if (flags.format != *format) {
    throw CLI::ValidationError("--format", "does not match the extension of --out");
  }
}

}  // namespace

Command ParseCommandLine(int argc, const char* const* argv) {
  CLI::App app("Makes pictures with an ilf-server.", "ilf-client");
  app.require_subcommand(1);
  app.footer(ExitCodeHelp());

  TlsFlags tls;
  GenerateCommand generate;
  GenerateFlags flags;
  CLI::App* generate_app = app.add_subcommand("generate", "make pictures and write them to files");
  generate_app->footer(ExitCodeHelp());
  AddConditionFlags(*generate_app, flags);
  AddSamplingFlags(*generate_app, flags);
  AddOutputFlags(*generate_app, flags, generate.progress);
  AddCallFlags(*generate_app, generate.connection.client, tls, generate.json);

  ModelsCommand models;
  CLI::App* models_app = app.add_subcommand("models", "list what the server serves");
  models_app->add_option("name", models.model, "only this model");
  AddCallFlags(*models_app, models.connection.client, tls, models.json);

  HealthCommand health;
  health.connection.client.timeout = kHealthTimeout;
  CLI::App* health_app =
      app.add_subcommand("health", "ask whether the server serves; exits with 0 only if it does");
  health_app->footer(ExitCodeHelp());
  health_app->add_option("--service", health.service,
                         "readiness: takes requests; liveness: runs (default: the server as a "
                         "whole, which is its readiness)");
  AddCallFlags(*health_app, health.connection.client, tls, health.json);

  try {
    app.parse(argc, argv);
    if (models_app->parsed()) {
      ApplyTls(tls, models.connection);
      return models;
    }
    if (health_app->parsed()) {
      ApplyTls(tls, health.connection);
      return health;
    }
    CheckGenerate(flags, generate.json);
    ApplyTls(tls, generate.connection);
  } catch (const CLI::ParseError& error) {
    return ExitNow{app.exit(error) == 0 ? kExitOk : kExitUsage};
  }
  generate.request = MakeRequest(flags);
  if (!flags.preview_every.has_value()) generate.default_preview_side = flags.preview_side;
  generate.out = flags.out;
  return generate;
}

}  // namespace ilf
