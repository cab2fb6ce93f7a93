#include "client/command/command_line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "tests/testing/certificates.h"
#include "tests/testing/temp_path.h"

namespace ilf {
namespace {

using ::testing::HasSubstr;

Command Parse(std::vector<const char*> arguments) {
  arguments.insert(arguments.begin(), "ilf-client");
  return ParseCommandLine(static_cast<int>(arguments.size()), arguments.data());
}

GenerateCommand ParseGenerate(std::vector<const char*> arguments) {
  arguments.insert(arguments.begin(), "generate");
  Command command = Parse(std::move(arguments));
  EXPECT_TRUE(std::holds_alternative<GenerateCommand>(command));
  const auto* generate = std::get_if<GenerateCommand>(&command);
  return generate != nullptr ? *generate : GenerateCommand();
}

int ExitCodeOfParsing(std::vector<const char*> arguments) {
  const Command command = Parse(std::move(arguments));
  const auto* exit = std::get_if<ExitNow>(&command);
  return exit != nullptr ? exit->code : -1;
}

TEST(CommandLineTest, LabelIsANameOrAnIndex) {
  EXPECT_EQ(ParseGenerate({"--label", "Ankle boot"}).request.class_label().name(), "Ankle boot");
  EXPECT_EQ(ParseGenerate({"--label", "7"}).request.class_label().index(), 7);
  EXPECT_TRUE(ParseGenerate({"--label", "0"}).request.class_label().has_index());
}

TEST(CommandLineTest, PromptsGoTogether) {
  const auto request = ParseGenerate({"a red bag", "--negative_prompt", "blur"}).request;
  EXPECT_EQ(request.text_prompt().prompt(), "a red bag");
  EXPECT_EQ(request.text_prompt().negative_prompt(), "blur");
}

TEST(CommandLineTest, TextThatIsNotUtf8IsRefusedByFlagAndByte) {
  const auto error_of = [](std::vector<const char*> arguments) {
    arguments.insert(arguments.begin(), "generate");
    testing::internal::CaptureStderr();
    EXPECT_EQ(ExitCodeOfParsing(std::move(arguments)), 2);
    return testing::internal::GetCapturedStderr();
  };
  EXPECT_THAT(error_of({"caf\xe9 noir"}),
              HasSubstr("prompt: is not valid UTF-8 from byte 3 (0xe9) on"));
  EXPECT_THAT(error_of({"caf\xc3\xa9", "--negative_prompt", "\xc3"}),
              HasSubstr("--negative_prompt: is not valid UTF-8 from byte 0 (0xc3) on"));
  EXPECT_THAT(error_of({"--label", "\xed\xa0\x80"}), HasSubstr("--label"));  // a surrogate
  EXPECT_EQ(ParseGenerate({"caf\xc3\xa9"}).request.text_prompt().prompt(), "caf\xc3\xa9");
}

TEST(CommandLineTest, LeavesDefaultsToTheServer) {
  const GenerateCommand command = ParseGenerate({"--label", "1"});
  const v1::GenerateRequest& request = command.request;
  EXPECT_FALSE(request.has_seed());
  EXPECT_FALSE(request.has_guidance_scale());
  EXPECT_FALSE(request.has_preview());
  EXPECT_EQ(request.model(), "");
  EXPECT_EQ(request.steps(), 0);
  EXPECT_EQ(request.solver(), v1::SOLVER_UNSPECIFIED);
  EXPECT_EQ(command.default_preview_side, 0);
  EXPECT_EQ(command.connection.client.timeout, absl::InfiniteDuration());
}

TEST(CommandLineTest, EveryFlagReachesTheRequest) {
  const GenerateCommand command =
      ParseGenerate({"--label",         "1",          "--model",        "m",
                     "--steps",         "20",         "--seed",         "18446744073709551615",
                     "--guidance",      "2.5",        "--solver",       "dpmsolver++",
                     "--acceleration",  "off",        "--width",        "64",
                     "--height",        "32",         "--count",        "3",
                     "--priority",      "high",       "--timeout",      "1m30s",
                     "--preview_every", "4",          "--preview_side", "48",
                     "--format",        "jpeg",       "--out",          "x/",
                     "--request_id",    "r",          "--address",      "host:1",
                     "--json",          "--progress", "plain"});
  const v1::GenerateRequest& request = command.request;
  EXPECT_EQ(request.model(), "m");
  EXPECT_EQ(request.steps(), 20);
  EXPECT_EQ(request.seed(), UINT64_MAX);
  EXPECT_EQ(request.guidance_scale(), 2.5);
  EXPECT_EQ(request.solver(), v1::SOLVER_DPM_SOLVER_PP_2M);
  EXPECT_EQ(request.acceleration(), v1::ACCELERATION_OFF);
  EXPECT_EQ(request.width(), 64);
  EXPECT_EQ(request.height(), 32);
  EXPECT_EQ(request.image_count(), 3);
  EXPECT_EQ(request.priority(), v1::PRIORITY_HIGH);
  EXPECT_EQ(request.preview().every_n_steps(), 4);
  EXPECT_EQ(request.preview().max_side(), 48);
  EXPECT_EQ(request.output_format(), v1::IMAGE_FORMAT_JPEG);
  EXPECT_EQ(request.request_id(), "r");
  EXPECT_EQ(command.out, "x/");
  EXPECT_EQ(command.connection.client.address, "host:1");
  EXPECT_EQ(command.connection.client.timeout, absl::Seconds(90));
  EXPECT_EQ(command.progress, ProgressMode::kPlain);
  EXPECT_TRUE(command.json);
  EXPECT_FALSE(command.default_preview_side.has_value());
}

TEST(CommandLineTest, AServiceConfigIsReadFromItsFile) {
  const std::string path = TestPath("config.json");
  std::ofstream(path) << R"({"loadBalancingConfig": [{"round_robin": {}}]})";
  EXPECT_EQ(ParseGenerate({"--label", "1", "--service_config", path.c_str()})
                .connection.client.service_config,
            R"({"loadBalancingConfig": [{"round_robin": {}}]})");
}

TEST(CommandLineTest, AServiceConfigMustBeThereAndBeJson) {
  const std::string path = TestPath("config.json");
  std::ofstream(path) << "{";
  EXPECT_EQ(ExitCodeOfParsing({"models", "--service_config", path.c_str()}), 2);
  EXPECT_EQ(ExitCodeOfParsing({"models", "--service_config", "/nowhere.json"}), 2);
}

TEST(CommandLineTest, SolversHaveTheNamesOfListModels) {
  const auto solver = [](const char* name) {
    return ParseGenerate({"--label", "1", "--solver", name}).request.solver();
  };
  EXPECT_EQ(solver("ddim"), v1::SOLVER_DDIM);
  EXPECT_EQ(solver("dpmsolver++"), v1::SOLVER_DPM_SOLVER_PP_2M);
  EXPECT_EQ(solver("euler"), v1::SOLVER_EULER);
}

TEST(CommandLineTest, PreviewEveryZeroMeansNone) {
  const GenerateCommand command = ParseGenerate({"--label", "1", "--preview_every", "0"});
  EXPECT_FALSE(command.request.has_preview());
  EXPECT_FALSE(command.default_preview_side.has_value());
}

TEST(CommandLineTest, FormatFollowsTheExtension) {
  EXPECT_EQ(ParseGenerate({"--label", "1", "--out", "a.jpg"}).request.output_format(),
            v1::IMAGE_FORMAT_JPEG);
}

TEST(CommandLineTest, ModelsTakesTheFlagsOfACall) {
  const Command command = Parse({"models", "--address", "host:1", "--timeout", "5s", "--json"});
  const auto* models = std::get_if<ModelsCommand>(&command);
  ASSERT_NE(models, nullptr);
  EXPECT_EQ(models->connection.client.address, "host:1");
  EXPECT_EQ(models->connection.client.timeout, absl::Seconds(5));
  EXPECT_TRUE(models->json);
}

TEST(CommandLineTest, ModelsTakesAName) {
  const Command command = Parse({"models", "fashion"});
  ASSERT_TRUE(std::holds_alternative<ModelsCommand>(command));
  EXPECT_EQ(std::get<ModelsCommand>(command).model, "fashion");
  EXPECT_FALSE(std::get<ModelsCommand>(Parse({"models"})).model.has_value());
}

TEST(CommandLineTest, HealthHasAShortDeadlineOfItsOwn) {
  const Command command = Parse({"health", "--service", "liveness", "--address", "host:1"});
  const auto* health = std::get_if<HealthCommand>(&command);
  ASSERT_NE(health, nullptr);
  EXPECT_EQ(health->service, "liveness");
  EXPECT_EQ(health->connection.client.address, "host:1");
  EXPECT_EQ(health->connection.client.timeout, absl::Seconds(3));
  EXPECT_FALSE(health->connection.tls);
  EXPECT_EQ(std::get<HealthCommand>(Parse({"health"})).service, "");
}

TEST(CommandLineTest, EveryCommandTakesTheFlagsOfTls) {
  const CertificateAuthority authority;
  const Identity identity = authority.Issue();
  SecretFolder folder;
  folder.Replace({{"ca", authority.cert()}, {"cert", identity.cert}, {"key", identity.key}});
  const std::string ca = folder.Path("ca"), cert = folder.Path("cert"), key = folder.Path("key");
  const auto connection = [&](std::vector<const char*> arguments) {
    arguments.insert(arguments.end(), {"--tls_ca", ca.c_str(), "--tls_cert", cert.c_str(),
                                       "--tls_key", key.c_str()});
    const Command command = Parse(arguments);
    if (const auto* it = std::get_if<GenerateCommand>(&command)) return it->connection;
    if (const auto* it = std::get_if<ModelsCommand>(&command)) return it->connection;
    if (const auto* it = std::get_if<HealthCommand>(&command)) return it->connection;
    return Connection();
  };
  for (const auto& arguments : std::vector<std::vector<const char*>>{
           {"generate", "--label", "1"}, {"models"}, {"health"}}) {
    EXPECT_TRUE(connection(arguments).tls);
    EXPECT_TRUE(connection(arguments).tls_cert);
    EXPECT_NE(connection(arguments).client.credentials, nullptr);
  }
}

TEST(CommandLineTest, TlsTrustsTheSystemWhereNoAuthorityIsNamed) {
  const Command command = Parse({"models", "--tls"});
  ASSERT_TRUE(std::holds_alternative<ModelsCommand>(command));
  EXPECT_TRUE(std::get<ModelsCommand>(command).connection.tls);
  EXPECT_FALSE(std::get<ModelsCommand>(command).connection.tls_cert);
}

TEST(CommandLineTest, HelpIsNoError) {
  EXPECT_EQ(ExitCodeOfParsing({"--help"}), 0);
  EXPECT_EQ(ExitCodeOfParsing({"generate", "--help"}), 0);
}

TEST(CommandLineTest, RefusesWhatMakesNoSense) {
  const std::vector<std::vector<const char*>> wrong = {
      {},
      {"paint"},
      {"generate"},
      {"generate", "--label", "1", "a prompt"},
      {"generate", "--label", "1", "--negative_prompt", "blur"},
      {"generate", "--label", "1", "--steps", "many"},
      {"generate", "--label", "1", "--seed", "-1"},
      {"generate", "--label", "1", "--seed", "18446744073709551616"},
      {"generate", "--label", "1", "--solver", "magic"},
      {"generate", "--label", "1", "--acceleration", "warp"},
      {"generate", "--label", "1", "--priority", "top"},
      {"generate", "--label", "1", "--format", "gif"},
      {"generate", "--label", "1", "--timeout", "30"},
      {"generate", "--label", "1", "--timeout", "-1s"},
      {"generate", "--label", "1", "--out", "-", "--json"},
      {"generate", "--label", "1", "--out", "-", "--count", "2"},
      {"generate", "--label", "1", "--out", "a.png", "--format", "jpeg"},
      {"generate", "--label", "1", "--unknown"},
      {"models", "one", "another"},
      {"health", "extra"},
      {"health", "--timeout", "0s"},
      {"models", "--tls_cert", "/dev/null"},
      {"models", "--tls_key", "/dev/null"},
      {"models", "--tls_ca", "/nowhere/ca.pem"},
      {"models", "--tls", "--tls_ca", "/dev/null"},
  };
  for (const auto& arguments : wrong) {
    EXPECT_EQ(ExitCodeOfParsing(arguments), 2) << ::testing::PrintToString(arguments);
  }
}

}  // namespace
}  // namespace ilf
